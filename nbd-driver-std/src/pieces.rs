//! Requests that a server cannot take as they are, made into those it can.

use std::ops::Range;

/// The ranges of at most `most` bytes that make up `range`, in order. `most` is not 0.
pub(crate) fn split(range: Range<u64>, most: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let piece = at..range.end.min(at.saturating_add(most));
        at = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The largest multiple of `block` that is at most `most`, but at least `block`.
pub(crate) fn whole_blocks(most: u64, block: u64) -> u64 {
    (most - most % block).max(block)
}

/// The smallest range of whole blocks that holds `range`.
pub(crate) fn outward(range: &Range<u64>, block: u64) -> Range<u64> {
    let start = range.start - range.start % block;
    start..range.end.checked_next_multiple_of(block).unwrap_or(u64::MAX)
}

/// The largest range of whole blocks within `range`; may be empty.
pub(crate) fn inward(range: &Range<u64>, block: u64) -> Range<u64> {
    let end = range.end - range.end % block;
    let start = range.start.checked_next_multiple_of(block).unwrap_or(u64::MAX).min(end);
    start..end
}

/// Whether a range is of whole blocks.
pub(crate) fn is_aligned(range: &Range<u64>, block: u64) -> bool {
    range.start % block == 0 && range.end % block == 0
}

#[cfg(test)]
mod tests {
    use super::{inward, is_aligned, outward, split, whole_blocks};

    #[test]
    fn split_covers_everything_once_and_in_order() {
        assert_eq!(split(10..35, 10).collect::<Vec<_>>(), [10..20, 20..30, 30..35]);
        assert_eq!(split(10..10, 10).count(), 0);
        assert_eq!(split(u64::MAX - 1..u64::MAX, 10).count(), 1);
    }

    #[test]
    fn aligning_goes_out_or_in() {
        assert_eq!(outward(&(5..17), 8), 0..24);
        assert_eq!(inward(&(5..17), 8), 8..16);
        assert!(inward(&(5..7), 8).is_empty());
        assert!(inward(&(9..10), 8).is_empty());
        assert!(is_aligned(&(8..16), 8) && !is_aligned(&(8..17), 8));
        assert_eq!(whole_blocks(1000, 512), 512);
        assert_eq!(whole_blocks(100, 512), 512);
    }
}
