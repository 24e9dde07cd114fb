//! What is kept beside the engine for each request in flight.

use nbd_proto::transmission::RequestId;
use nbd_proto::wire::number::Cookie;

/// The name that an engine gave a request.
pub(crate) trait Name: Copy + PartialEq {
    /// Its dense half: a small number, unlike that of any other request in flight.
    fn slot(self) -> usize;
}

impl Name for Cookie {
    fn slot(self) -> usize {
        Self::slot(self)
    }
}

impl Name for RequestId {
    fn slot(self) -> usize {
        Self::slot(self)
    }
}

/// Values by the names of requests. A name that has been used up finds nothing.
#[derive(Debug)]
pub(crate) struct Table<N, T>(Vec<Option<(N, T)>>);

impl<N, T> Default for Table<N, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N: Name, T> Table<N, T> {
    pub(crate) fn insert(&mut self, name: N, value: T) {
        let slot = name.slot();
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        self.0[slot] = Some((name, value));
    }

    pub(crate) fn get(&self, name: N) -> Option<&T> {
        match self.0.get(name.slot())? {
            Some((current, value)) if *current == name => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, name: N) -> Option<&mut T> {
        match self.0.get_mut(name.slot())? {
            Some((current, value)) if *current == name => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, name: N) -> Option<T> {
        self.0.get_mut(name.slot())?.take_if(|(current, _)| *current == name).map(|(_, value)| value)
    }

    /// Gives back the memory of places that nobody has.
    pub(crate) fn shrink(&mut self) {
        let used = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.0.truncate(used);
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use nbd_proto::wire::number::Cookie;

    use super::Table;

    #[test]
    fn a_name_that_is_used_up_finds_nothing() {
        let [old, new] = [Cookie(1 << 32 | 3), Cookie(2 << 32 | 3)];
        assert_eq!(old.slot(), new.slot());
        let mut table = Table::default();
        table.insert(old, "old");
        assert!(table.get(new).is_none());
        assert_eq!(table.remove(old), Some("old"));
        table.insert(new, "new");
        assert!(table.get(old).is_none() && table.get_mut(old).is_none() && table.remove(old).is_none());
        assert_eq!(table.get(new), Some(&"new"));
    }

    #[test]
    fn shrinking_keeps_what_is_there() {
        let mut table = Table::default();
        for slot in 0..10 {
            table.insert(Cookie(1 << 32 | slot), slot);
        }
        for slot in [0, 1, 3, 5, 6, 7, 8, 9] {
            table.remove(Cookie(1 << 32 | slot));
        }
        table.shrink();
        assert_eq!((table.get(Cookie(1 << 32 | 2)), table.get(Cookie(1 << 32 | 4))), (Some(&2), Some(&4)));
        assert_eq!(table.0.len(), 5);
    }
}
