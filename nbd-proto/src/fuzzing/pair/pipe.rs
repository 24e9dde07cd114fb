//! One direction of a connection: bytes arrive in order, or not at all.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

#[derive(Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Pipe {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_cut {
            self.bytes.extend(bytes);
        }
    }

    pub(super) fn pull(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count).collect()
    }

    /// All but the first `keep` bytes under way are lost, and whatever follows.
    pub(super) fn cut(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        self.is_cut = true;
    }
}
