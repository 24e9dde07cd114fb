//! What the disk is filled with.

use anyhow::bail;

/// A prime: no two blocks that could be mistaken for each other look the same.
const TILE: u64 = 65_521;

/// Bytes that follow from their place on the disk, none of them zero.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    pub(super) fn new() -> Self {
        let mut state: u32 = 1;
        let bytes = (0..TILE).map(|_| {
            // The upper bits of such a sequence are the good ones.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | 1
        });
        Self(bytes.collect())
    }

    /// What belongs at this offset.
    pub(super) fn fill(&self, buffer: &mut [u8], offset: u64) {
        for (part, expected) in self.parts(buffer.len(), offset) {
            buffer[part].copy_from_slice(expected);
        }
    }

    /// Errors if something else was read there.
    pub(super) fn check(&self, read: &[u8], offset: u64) -> anyhow::Result<()> {
        for (part, expected) in self.parts(read.len(), offset) {
            let start = part.start;
            if read[part.clone()] != *expected {
                let same = read[part].iter().zip(expected).take_while(|(read, expected)| read == expected).count();
                bail!("the byte at {} is not what was written there", offset + (start + same) as u64);
            }
        }
        Ok(())
    }

    /// Ranges of a buffer with what belongs there.
    fn parts(&self, length: usize, offset: u64) -> impl Iterator<Item = (std::ops::Range<usize>, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = ((offset + at as u64) % TILE) as usize;
            let count = (self.0.len() - start).min(length - at);
            let part = at..at + count;
            at = part.end;
            (count > 0).then(|| (part, &self.0[start..start + count]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn what_was_filled_in_is_found_and_nothing_else() {
        let pattern = Pattern::new();
        for (length, offset) in [(0, 5), (1, 0), (200_000, 65_520), (70_001, u64::MAX / 2)] {
            let mut buffer = vec![0; length];
            pattern.fill(&mut buffer, offset);
            assert!(buffer.iter().all(|byte| *byte != 0));
            pattern.check(&buffer, offset).unwrap();
            if let Some(last) = buffer.last_mut() {
                *last = 0;
                let error = pattern.check(&buffer, offset).unwrap_err().to_string();
                assert!(error.contains(&format!("at {} ", offset + length as u64 - 1)), "{error}");
            }
        }
    }

    #[test]
    fn blocks_look_different() {
        let pattern = Pattern::new();
        let mut block = vec![0; 4096];
        pattern.fill(&mut block, 0);
        for other in 1..100 {
            assert!(pattern.check(&block, other * 4096).is_err());
        }
    }
}
