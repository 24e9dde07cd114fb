//! What the disk holds, as the client and the server each know it.

use std::ops::Range;
use std::sync::OnceLock;

use fastrand::Rng;

/// Of the disk, in bytes.
pub(crate) const SIZE: usize = 1 << 20;

/// So many bytes unlike any others nearby.
pub(crate) fn content(rng: &mut Rng, length: usize) -> Vec<u8> {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut bytes = vec![0; 2 * SIZE];
        Rng::with_seed(1).fill(&mut bytes);
        bytes
    });
    let at = rng.usize(..=noise.len() - length);
    noise[at..at + length].to_vec()
}

/// What a `BLOCK_STATUS` of this range is answered with: lengths and flags.
pub(crate) fn extents(offset: u64, length: u64) -> Vec<(u64, u64)> {
    match length / 2 {
        0 => vec![(length, offset % 4)],
        half => vec![(half, offset % 4), (length - half, (offset + 1) % 4)],
    }
}

/// The client's view.
#[derive(Debug)]
pub(crate) struct Model {
    disk: Vec<u8>,
    /// Changes whose answer was lost.
    unsure: Vec<(Range<usize>, Vec<u8>)>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { disk: vec![0; SIZE], unsure: Vec::new() }
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.disk[range]
    }

    /// It was answered that this is there now.
    pub(crate) fn changed(&mut self, range: Range<usize>, bytes: &[u8]) {
        self.disk[range].copy_from_slice(bytes);
    }

    /// Nobody knows whether this is there now.
    pub(crate) fn unsure(&mut self, range: Range<usize>, bytes: &[u8]) {
        self.unsure.push((range, bytes.to_vec()));
    }

    /// Holds the server's disk against it: all that was answered is there, and the rest happened in whole or not at all.
    pub(crate) fn assert_is(mut self, disk: &[u8]) {
        for (range, new) in std::mem::take(&mut self.unsure) {
            if disk[range.clone()] == new {
                self.changed(range, &new);
            }
        }
        assert!(self.disk == disk, "the disk does not hold what was written");
    }
}
