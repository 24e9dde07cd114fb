//! Ids of metadata contexts, which each connection has anew.

use nbd_proto::handshake::MetaContext;
use nbd_proto::transmission::ContextExtents;
use nbd_proto::wire::number::ContextId;

/// For each context its id on the first connection, and on this one.
#[derive(Debug)]
pub(super) struct Ids(Vec<(ContextId, ContextId)>);

impl Ids {
    pub(super) fn new(first: &[MetaContext], here: &[MetaContext]) -> Self {
        let id = |name: &str| here.iter().find(|context| context.name == name).map(|context| context.id);
        Self(first.iter().filter_map(|context| Some((context.id, id(&context.name)?))).collect())
    }

    /// Ids of the first connection, as they are on this one.
    pub(super) fn here(&self, contexts: &[ContextId]) -> Vec<ContextId> {
        let here = |first: &ContextId| self.0.iter().find(|(id, _)| id == first).map(|(_, here)| *here);
        contexts.iter().filter_map(here).collect()
    }

    /// What was told by the ids of this connection, by those of the first.
    pub(super) fn translate(&self, told: &mut [ContextExtents]) {
        for told in told {
            if let Some((first, _)) = self.0.iter().find(|(_, here)| *here == told.context) {
                told.context = *first;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ContextExtents, ContextId, Ids, MetaContext};

    fn contexts(named: [(u32, &str); 2]) -> Vec<MetaContext> {
        named.map(|(id, name)| MetaContext { id: ContextId(id), name: name.to_owned() }).into()
    }

    #[test]
    fn contexts_go_by_their_names_where_their_ids_are_exchanged() {
        let ids = Ids::new(&contexts([(1, "a:x"), (2, "b:y")]), &contexts([(2, "a:x"), (1, "b:y")]));
        assert_eq!(ids.here(&[ContextId(2), ContextId(1)]), [ContextId(1), ContextId(2)]);
        let mut told = [1, 2].map(|id| ContextExtents { context: ContextId(id), extents: Vec::new() });
        ids.translate(&mut told);
        assert_eq!(told.map(|told| told.context), [ContextId(2), ContextId(1)]);
    }
}
