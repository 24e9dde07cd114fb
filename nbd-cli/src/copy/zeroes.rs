//! Zeroes within data.

use std::ops::Range;

/// Whether all bytes are 0. Most data shows it is not by its first bytes.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    let (head, words) = bytes.split_at(bytes.len().min(16));
    head.iter().all(|&byte| byte == 0)
        && words.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A part of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) range: Range<usize>,
    pub(crate) zero: bool,
}

/// Cuts what belongs at `offset` of the disk into runs of data and of zeroes. Zeroes count if they fill whole
/// blocks of `grain` bytes, counted from the start of the disk; a shorter block at the end of the buffer counts as
/// whole. Without a grain all is data.
pub(crate) fn runs(bytes: &[u8], offset: u64, grain: Option<u64>) -> Vec<Run> {
    let Some(grain) = grain else {
        return vec![Run { range: 0..bytes.len(), zero: false }];
    };
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let place = offset + at as u64;
        let rest = grain - place % grain;
        let end = bytes.len().min(at.saturating_add(usize::try_from(rest).unwrap_or(usize::MAX)));
        let whole = place % grain == 0;
        let zero = whole && all_zero(&bytes[at..end]);
        match runs.last_mut() {
            Some(last) if last.zero == zero => last.range.end = end,
            _ => runs.push(Run { range: at..end, zero }),
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{Run, all_zero, runs};

    #[test]
    fn one_byte_anywhere_makes_it_data() {
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 80, 81, 1000] {
            assert!(all_zero(&vec![0; len]));
            for at in 0..len {
                let mut bytes = vec![0; len];
                bytes[at] = 1;
                assert!(!all_zero(&bytes), "{at} of {len}");
            }
        }
    }

    #[test]
    fn runs_follow_the_grain_of_the_disk() {
        let mut bytes = vec![0; 100];
        bytes[50] = 1;
        let run = |range, zero| Run { range, zero };
        assert_eq!(runs(&bytes, 0, Some(16)), [run(0..48, true), run(48..64, false), run(64..100, true)]);
        // Offset 8: the first block on the disk begins in the middle of one.
        assert_eq!(
            runs(&bytes, 8, Some(16)),
            [run(0..8, false), run(8..40, true), run(40..56, false), run(56..100, true)]
        );
        assert_eq!(runs(&bytes, 0, None), [run(0..100, false)]);
        assert_eq!(runs(&bytes, 0, Some(128)), [run(0..100, false)]);
        assert_eq!(runs(&[], 0, Some(16)), []);
    }
}
