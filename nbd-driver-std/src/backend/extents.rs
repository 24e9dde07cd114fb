//! Extents on their way into an answer.

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::AllocationFlags;
/// The one context that the backends of this crate know.
pub(super) use nbd_proto::wire::flags::BASE_ALLOCATION;

/// Not allocated, and reads as zeroes.
pub(super) const HOLE: AllocationFlags = AllocationFlags::HOLE.union(AllocationFlags::ZERO);

/// Extents in one answer: 1 MiB of descriptors. The client asks again for the rest.
const MAX_EXTENTS: usize = 64 * 1024;

/// Consecutive extents, appended to an answer; neighbours of equal flags become one.
pub(super) struct Extents<'a> {
    answer: &'a mut Vec<Descriptor>,
    /// What was in the answer before.
    first: usize,
    most: usize,
}

impl<'a> Extents<'a> {
    /// Appends to an answer; with `one`, a single extent.
    pub(super) fn new(answer: &'a mut Vec<Descriptor>, one: bool) -> Self {
        let first = answer.len();
        Self { answer, first, most: if one { 1 } else { MAX_EXTENTS } }
    }

    /// Appends an extent of so many bytes. `false`: it found no room, and the answer ends before it.
    #[must_use]
    pub(super) fn push(&mut self, length: u64, flags: AllocationFlags) -> bool {
        if length == 0 {
            return true;
        }
        let flags = flags.bits();
        let full = self.answer.len() - self.first >= self.most;
        match self.answer[self.first..].last_mut() {
            Some(last) if last.flags == flags => last.length += length,
            _ if full => return false,
            _ => self.answer.push(Descriptor { length, flags }),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use nbd_proto::wire::chunk::Descriptor;
    use nbd_proto::wire::flags::AllocationFlags;

    use super::{Extents, HOLE, MAX_EXTENTS};

    const DATA: AllocationFlags = AllocationFlags::empty();

    #[test]
    fn an_answer_ends_where_it_is_full() {
        let mut answer = Vec::new();
        let mut extents = Extents::new(&mut answer, false);
        for _ in 0..MAX_EXTENTS / 2 {
            assert!(extents.push(1, HOLE) && extents.push(2, DATA));
        }
        assert!(extents.push(3, DATA), "more of the last is no further extent");
        assert!(!extents.push(1, HOLE));
        assert_eq!((answer.len(), answer.last()), (MAX_EXTENTS, Some(&Descriptor { length: 5, flags: 0 })));
    }

    #[test]
    fn one_extent_grows_but_has_no_second() {
        let mut answer = vec![Descriptor { length: 9, flags: HOLE.bits() }];
        let mut extents = Extents::new(&mut answer, true);
        assert!(extents.push(0, DATA) && extents.push(1, HOLE) && extents.push(2, HOLE) && !extents.push(1, DATA));
        assert_eq!(answer[1..], [Descriptor { length: 3, flags: HOLE.bits() }], "the first is of another answer");
    }
}
