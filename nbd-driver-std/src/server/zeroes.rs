//! Finds zeroes in what was read, so that they need not be sent.

use nbd_proto::transmission::ReadPart;

/// What is looked at as one, aligned in the export: a shorter run of zeroes is not worth a part of its own.
const BLOCK: usize = 4096;

/// How many parts an answer has at most. What is behind is sent as data.
const MOST: usize = 32;

static ZEROES: [u8; BLOCK] = [0; BLOCK];

/// The parts of what was read at this offset of the export; `None` if it is worth sending as a whole.
pub(super) fn parts(data: &[u8], offset: u64) -> Option<Vec<ReadPart>> {
    let mut runs = Runs { data, to_boundary: BLOCK - (offset % BLOCK as u64) as usize };
    let mut first = runs.next()?;
    // Nearly all reads end here.
    if !first.zero && first.length == data.len() {
        return None;
    }
    if first.zero && first.length == data.len() {
        return Some(vec![ReadPart::Hole(first.length as u64)]);
    }
    let mut parts = Vec::new();
    let mut ahead = 0;
    loop {
        if parts.len() + 2 >= MOST {
            ahead += (first.length + runs.data.len()) as u64;
            break;
        }
        let worth = first.zero && first.length >= BLOCK;
        if worth {
            if ahead > 0 {
                parts.push(ReadPart::Data(ahead));
            }
            parts.push(ReadPart::Hole(first.length as u64));
            ahead = 0;
        } else {
            ahead += first.length as u64;
        }
        match runs.next() {
            Some(run) => first = run,
            None => break,
        }
    }
    if ahead > 0 {
        parts.push(ReadPart::Data(ahead));
    }
    (parts.len() > 1 || matches!(parts[..], [ReadPart::Hole(_)])).then_some(parts)
}

/// Blocks of one kind in a row.
struct Run {
    zero: bool,
    length: usize,
}

/// Iterator over the runs of what is left of the data.
struct Runs<'a> {
    data: &'a [u8],
    /// Bytes to the end of the block that the data begins in.
    to_boundary: usize,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let head = self.data.len().min(self.to_boundary);
        if head == 0 {
            return None;
        }
        let zero = is_zero(&self.data[..head]);
        let mut length = head;
        for block in self.data[head..].chunks(BLOCK) {
            if is_zero(block) != zero {
                break;
            }
            length += block.len();
        }
        self.data = &self.data[length..];
        self.to_boundary = BLOCK;
        Some(Run { zero, length })
    }
}

/// Data gives itself away by its first byte, nearly always.
fn is_zero(block: &[u8]) -> bool {
    block[0] == 0 && *block == ZEROES[..block.len()]
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MOST, parts};
    use nbd_proto::transmission::ReadPart::{self, Data, Hole};

    fn data(pieces: &[(u8, usize)]) -> Vec<u8> {
        pieces.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect()
    }

    fn total(parts: &[ReadPart]) -> u64 {
        parts
            .iter()
            .map(|part| match part {
                Data(length) | Hole(length) => length,
            })
            .sum()
    }

    #[test]
    fn data_is_sent_as_a_whole() {
        assert_eq!(parts(&data(&[(1, 3 * BLOCK)]), 0), None);
        assert_eq!(parts(&data(&[(0, BLOCK - 1), (1, 1)]), 0), None);
        assert_eq!(parts(&[], 0), None);
    }

    #[test]
    fn nothing_but_zeroes_is_one_hole_however_short() {
        assert_eq!(parts(&[0; 5], 3).unwrap(), [Hole(5)]);
        assert_eq!(parts(&[0; 3 * BLOCK], 17).unwrap(), [Hole(3 * BLOCK as u64)]);
    }

    #[test]
    fn runs_begin_and_end_at_blocks_of_the_export() {
        let bytes = data(&[(1, 100), (0, 2 * BLOCK), (1, BLOCK)]);
        // As it lies in the export, one whole block of it is zero.
        assert_eq!(parts(&bytes, 0).unwrap(), [Data(4096), Hole(4096), Data(4196)]);
        // The first block is full of zeroes from here on.
        let bytes = data(&[(0, 100), (0, BLOCK), (1, BLOCK)]);
        assert_eq!(parts(&bytes, BLOCK as u64 - 100).unwrap(), [Hole(4196), Data(4096)]);
    }

    #[test]
    fn a_short_run_is_data() {
        assert_eq!(parts(&data(&[(0, 100), (1, BLOCK)]), BLOCK as u64 - 100), None);
    }

    #[test]
    fn parts_are_bounded_and_cover_everything() {
        let bytes = data(&[(0, BLOCK), (1, BLOCK)]).repeat(100);
        let parts = parts(&bytes, 0).unwrap();
        assert!(parts.len() <= MOST, "{}", parts.len());
        assert_eq!(total(&parts), bytes.len() as u64);
    }
}
