//! The piece of a disk that takes memory as a whole, or none.

use std::ops::Range;

use nbd_proto::wire::flags::AllocationFlags;

use super::budget::Budget;
use crate::backend::Failure;
use crate::backend::extents::HOLE;

/// Bytes in a chunk.
pub(super) const SIZE: usize = 64 * 1024;

/// Part of a disk.
#[derive(Default)]
pub(super) struct Chunk {
    /// All of them, or none: then it takes no memory, and reads as zeroes.
    bytes: Vec<u8>,
    /// The bytes that are there are known to be zeroes.
    zero: bool,
}

impl Chunk {
    pub(super) fn is_absent(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn flags(&self) -> AllocationFlags {
        match (self.is_absent(), self.zero) {
            (true, _) => HOLE,
            (false, true) => AllocationFlags::ZERO,
            (false, false) => AllocationFlags::empty(),
        }
    }

    pub(super) fn read(&self, at: usize, buffer: &mut [u8]) {
        match self.bytes.get(at..at + buffer.len()) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => buffer.fill(0),
        }
    }

    pub(super) fn write(&mut self, at: usize, data: &[u8], budget: &Budget) -> Result<(), Failure> {
        if self.is_absent() && data.len() == SIZE {
            // Not zeroed first.
            self.bytes = budget.vec(SIZE, SIZE as u64)?;
            self.bytes.extend_from_slice(data);
        } else {
            self.allocate(budget)?;
            self.bytes[at..at + data.len()].copy_from_slice(data);
        }
        self.zero = false;
        Ok(())
    }

    /// Makes it take memory, if it does not.
    pub(super) fn allocate(&mut self, budget: &Budget) -> Result<(), Failure> {
        if self.is_absent() {
            self.bytes = budget.vec(SIZE, SIZE as u64)?;
            self.bytes.resize(SIZE, 0);
            self.zero = true;
        }
        Ok(())
    }

    /// Writes zeroes over what is there.
    pub(super) fn zero(&mut self, range: Range<usize>) {
        if self.zero {
            return;
        }
        self.zero = range.len() == SIZE;
        if let Some(bytes) = self.bytes.get_mut(range) {
            bytes.fill(0);
        }
    }

    /// Makes it take no memory.
    pub(super) fn free(&mut self, budget: &Budget) {
        if !self.is_absent() {
            *self = Self::default();
            budget.give_back(SIZE as u64);
        }
    }
}
