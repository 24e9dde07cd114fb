//! The whole answer to a block status, for callers who collect it.

use alloc::vec::Vec;

use super::inbound::{Extent, Extents};
use crate::wire::number::ContextId;

/// What one metadata context says of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextExtents {
    /// The context; [`Negotiated::contexts`](crate::handshake::Negotiated::contexts) has its name.
    pub context: ContextId,
    /// Consecutive extents from the start of the range. They may end before it does, or go on behind it.
    pub extents: Vec<Extent>,
}

impl ContextExtents {
    /// Appends what an [`Event::Extents`](super::Event::Extents) brought to what others of the same command have
    /// brought before: one entry for each context, in the order in which they first spoke. One reply brings at most
    /// [`MAX_EXTENTS`](crate::limits::MAX_EXTENTS) a context.
    pub fn collect(all: &mut Vec<Self>, context: ContextId, extents: Extents<'_>) {
        match all.iter_mut().find(|known| known.context == context) {
            Some(known) => known.extents.extend(extents),
            None => all.push(Self { context, extents: extents.collect() }),
        }
    }
}
