//! From what a source knows of itself to the pieces that are copied.

use std::ops::Range;

use super::extents::Extents;

/// A part of the disk that is copied by one request, or is known to read as zeroes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) range: Range<u64>,
    pub(crate) zero: bool,
}

/// All of a disk in order, cut so that every request is aligned and no longer than both sides take. Only the end
/// of the disk may be unaligned.
pub(crate) struct Plan {
    extents: Extents,
    size: u64,
    align: u64,
    step: u64,
    zero_step: u64,
    /// All before this is planned.
    at: u64,
    /// What was found but not handed out yet: first data, then perhaps zeroes behind it.
    data: Range<u64>,
    zeroes: Range<u64>,
}

impl Plan {
    pub(crate) fn new(extents: Extents, size: u64, align: u64, step: u64, zero_step: u64) -> Self {
        Self { extents, size, align, step, zero_step, at: 0, data: 0..0, zeroes: 0..0 }
    }

    /// Finds more until there is something to hand out, or nothing left.
    fn look_ahead(&mut self) -> anyhow::Result<()> {
        let start = self.at;
        let mut data_end = start;
        while data_end < self.size {
            let Some(extent) = self.extents.next().transpose()? else {
                // What the source does not tell is read.
                data_end = self.size;
                break;
            };
            let end = extent.range.end.min(self.size);
            if extent.zero {
                // The edges of zeroes that lie within a block go with the data.
                let from = extent.range.start.max(start).checked_next_multiple_of(self.align);
                let from = from.map_or(self.size, |from| from.min(self.size));
                let until = if end == self.size { end } else { end - end % self.align };
                if from < until {
                    self.data = start..from;
                    self.zeroes = from..until;
                    self.at = until;
                    return Ok(());
                }
            }
            data_end = data_end.max(end);
            let whole = if end == self.size { end } else { end - end % self.align };
            if whole.saturating_sub(start) >= self.step {
                data_end = whole;
                break;
            }
        }
        self.data = start..data_end;
        self.at = data_end;
        Ok(())
    }
}

impl Iterator for Plan {
    type Item = anyhow::Result<Span>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() && self.zeroes.is_empty() {
            if let Err(error) = self.look_ahead() {
                self.at = self.size;
                return Some(Err(error));
            }
        }
        let zero = self.data.is_empty();
        let (rest, step) = if zero { (&mut self.zeroes, self.zero_step) } else { (&mut self.data, self.step) };
        if rest.is_empty() {
            return None;
        }
        // Cut at multiples of the step, so that requests stay aligned to it wherever a run begins.
        let end = (rest.start / step + 1).saturating_mul(step).min(rest.end);
        let range = rest.start..end;
        rest.start = end;
        Some(Ok(Span { range, zero }))
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Span};
    use crate::copy::extents::Extent;

    fn plan(extents: &[(u64, bool)], size: u64, align: u64, step: u64, zero_step: u64) -> Vec<(u64, u64, bool)> {
        let mut at = 0;
        let mut list = Vec::new();
        for &(end, zero) in extents {
            list.push(Ok(Extent { range: at..end, zero }));
            at = end;
        }
        let plan = Plan::new(Box::new(list.into_iter()), size, align, step, zero_step);
        let spans: Vec<Span> = plan.map(Result::unwrap).collect();
        let mut end = 0;
        for Span { range, .. } in &spans {
            assert_eq!(range.start, end, "gap or overlap");
            assert!(!range.is_empty());
            assert!(range.end % align == 0 || range.end == size, "unaligned");
            end = range.end;
        }
        assert_eq!(end, size);
        spans.into_iter().map(|span| (span.range.start, span.range.end, span.zero)).collect()
    }

    #[test]
    fn data_is_cut_at_multiples_of_the_step() {
        assert_eq!(plan(&[(10, false)], 10, 1, 4, 4), [(0, 4, false), (4, 8, false), (8, 10, false)]);
        assert_eq!(plan(&[], 10, 1, 8, 8), [(0, 8, false), (8, 10, false)]);
        assert_eq!(plan(&[], 0, 1, 8, 8), []);
    }

    #[test]
    fn edges_of_zeroes_within_a_block_are_data() {
        let spans = plan(&[(5, false), (35, true), (40, false)], 40, 8, 64, 64);
        assert_eq!(spans, [(0, 8, false), (8, 32, true), (32, 40, false)]);
        // Too small for a block of its own.
        assert_eq!(plan(&[(5, false), (12, true), (40, false)], 40, 8, 64, 64), [(0, 40, false)]);
        // At the end of the disk there is no block to share.
        assert_eq!(plan(&[(5, false), (42, true)], 42, 8, 64, 64), [(0, 8, false), (8, 42, true)]);
    }

    #[test]
    fn zeroes_have_a_step_of_their_own() {
        let spans = plan(&[(64, true), (80, false)], 80, 8, 16, 32);
        assert_eq!(spans, [(0, 32, true), (32, 64, true), (64, 80, false)]);
        assert_eq!(plan(&[(64, true)], 64, 8, 8, u64::MAX), [(0, 64, true)]);
        assert_eq!(plan(&[(u64::MAX, true)], u64::MAX, 8, 8, u64::MAX), [(0, u64::MAX, true)]);
        let most = u64::MAX;
        let spans = plan(&[(most - 3, true), (most, true)], most, 8, 8, most);
        assert_eq!(spans, [(0, most - 7, true), (most - 7, most, false)]);
    }

    #[test]
    fn small_extents_of_data_are_joined() {
        let many: Vec<_> = (1..=32).map(|end| (end, false)).collect();
        assert_eq!(plan(&many, 32, 4, 16, 16), [(0, 16, false), (16, 32, false)]);
    }

    #[test]
    fn many_small_extents_lose_nothing() {
        let mut extents = Vec::new();
        let mut at = 0;
        for i in 0..2000_u64 {
            at += 1 + (i * 7919) % 37;
            extents.push((at, i % 3 == 0));
        }
        for align in [1, 2, 8, 64] {
            plan(&extents, at, align, 128, 256);
        }
    }
}
