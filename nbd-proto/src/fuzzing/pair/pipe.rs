//! One direction of a connection: bytes arrive in order, or not at all.

use alloc::vec::Vec;

use crate::fuzzing::take_front;

#[derive(Default)]
pub(super) struct Pipe {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Pipe {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_cut {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) fn pull(&mut self, count: usize) -> Vec<u8> {
        take_front(&mut self.bytes, count)
    }

    /// All but the first `keep` bytes under way are lost, and whatever follows.
    pub(super) fn cut(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        self.is_cut = true;
    }
}
