//! Which bytes of a read have been answered: disjoint ranges, merged where they touch. In the usual case there
//! is one, held inline.

use smallvec::SmallVec;

use crate::limits::MAX_FRAGMENTS;

#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    /// Sorted; start and end of each, no two touching.
    ranges: SmallVec<[(u64, u64); 1]>,
}

/// Why a range cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    Overlap,
    TooManyFragments,
}

impl Coverage {
    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// Adds `start..end`, of which no byte may be there yet. `end` is above `start`.
    pub(super) fn insert(&mut self, start: u64, end: u64) -> Result<(), Conflict> {
        let at = self.ranges.partition_point(|range| range.1 <= start);
        if self.ranges.get(at).is_some_and(|next| next.0 < end) {
            return Err(Conflict::Overlap);
        }
        let joins_next = self.ranges.get(at).is_some_and(|next| next.0 == end);
        let joins_last = at > 0 && self.ranges[at - 1].1 == start;
        match (joins_last, joins_next) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = end,
            (false, true) => self.ranges[at].0 = start,
            (false, false) if self.ranges.len() == MAX_FRAGMENTS => return Err(Conflict::TooManyFragments),
            (false, false) => self.ranges.insert(at, (start, end)),
        }
        Ok(())
    }

    /// How many bytes are there.
    pub(super) fn total(&self) -> u64 {
        self.ranges.iter().map(|range| range.1 - range.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Conflict, Coverage};
    use crate::limits::MAX_FRAGMENTS;
    use proptest::prelude::*;

    #[test]
    fn touching_ranges_merge_into_one() {
        let mut coverage = Coverage::default();
        for (start, end) in [(0, 4), (8, 12), (4, 8), (12, 13)] {
            coverage.insert(start, end).unwrap();
        }
        assert_eq!(coverage.ranges.as_slice(), [(0, 13)]);
    }

    #[test]
    fn fragments_are_bounded_but_may_still_grow_together() {
        let mut coverage = Coverage::default();
        for n in 0..MAX_FRAGMENTS as u64 {
            coverage.insert(n * 2, n * 2 + 1).unwrap();
        }
        assert_eq!(coverage.insert(1 << 40, (1 << 40) + 1), Err(Conflict::TooManyFragments));
        assert_eq!(coverage.insert(1, 2), Ok(()));
    }

    proptest! {
        /// Against the plainest model: a flag for each byte.
        #[test]
        fn agrees_with_a_bitmap(ranges in prop::collection::vec((0u64..64, 1u64..16), 0..40)) {
            let mut coverage = Coverage::default();
            let mut model = [false; 80];
            for (start, length) in ranges {
                let bytes = &mut model[start as usize..(start + length) as usize];
                let free = bytes.iter().all(|taken| !taken);
                prop_assert_eq!(coverage.insert(start, start + length).is_ok(), free);
                if free {
                    bytes.fill(true);
                }
                prop_assert_eq!(coverage.total(), model.iter().filter(|taken| **taken).count() as u64);
            }
        }
    }
}
