//! Memory for payload: bounded for each connection, and used again.

use std::collections::TryReserveError;

/// What a buffer is a multiple of, so that buffers of requests of about the same length are the same.
const SMALLEST: usize = 4096;

/// The buffers of one connection. They never pass from one client to another, so what was in them need not be wiped.
#[derive(Debug)]
pub(super) struct Buffers {
    free: Vec<Vec<u8>>,
    /// Bytes in all buffers, free ones and those that are out, and what was set aside.
    held: usize,
    limit: usize,
}

impl Buffers {
    pub(super) fn new(limit: usize) -> Self {
        Self { free: Vec::new(), held: 0, limit }
    }

    /// Whether a request of this length can ever have a buffer.
    pub(super) fn can_hold(&self, length: u64) -> bool {
        length <= self.limit as u64
    }

    /// A buffer of at least this length, unless that would be too much memory now. With none out, there is always
    /// one for a length that [can be held](Self::can_hold), but for an error: the system has no more memory. It holds
    /// anything.
    pub(super) fn take(&mut self, length: usize) -> Result<Option<Vec<u8>>, TryReserveError> {
        let size = length.max(SMALLEST).checked_next_power_of_two().unwrap_or(length).min(self.limit.max(length));
        if let Some(at) = self.free.iter().rposition(|buffer| buffer.len() == size) {
            return Ok(Some(self.free.swap_remove(at)));
        }
        if !self.set_aside(size) {
            return Ok(None);
        }
        let mut buffer = Vec::new();
        if let Err(error) = buffer.try_reserve_exact(size) {
            self.release(size);
            return Err(error);
        }
        buffer.resize(size, 0);
        Ok(Some(buffer))
    }

    /// Counts memory that is had elsewhere, unless that would be too much now.
    pub(super) fn set_aside(&mut self, bytes: usize) -> bool {
        while self.held + bytes > self.limit {
            let Some(buffer) = self.free.pop() else { return false };
            self.held -= buffer.len();
        }
        self.held += bytes;
        true
    }

    /// What was [set aside](Self::set_aside) is free again.
    pub(super) fn release(&mut self, bytes: usize) {
        self.held -= bytes;
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Vec<u8>) {
        if !buffer.is_empty() {
            self.free.push(buffer);
        }
    }

    /// Whether there is memory that nobody uses.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Gives all memory that nobody uses back to the system.
    pub(super) fn shrink(&mut self) {
        for buffer in self.free.drain(..) {
            self.held -= buffer.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    #[test]
    fn a_buffer_is_used_again() {
        let mut buffers = Buffers::new(1 << 20);
        let mut buffer = buffers.take(5000).unwrap().unwrap();
        buffer[4999] = 7;
        buffers.give(buffer);
        assert_eq!(buffers.take(6000).unwrap().unwrap()[4999], 7);
        assert_eq!(buffers.held, 8192);
    }

    #[test]
    fn the_limit_holds() {
        let mut buffers = Buffers::new(3 * 4096);
        let all: Vec<_> = std::iter::from_fn(|| buffers.take(1).unwrap()).collect();
        assert_eq!(all.len(), 3);
        for buffer in all {
            buffers.give(buffer);
        }
        assert!(buffers.take(1).unwrap().is_some());
    }

    #[test]
    fn free_buffers_make_room_for_one_of_another_size() {
        let mut buffers = Buffers::new(3 * 4096);
        let small = [1, 1].map(|length| buffers.take(length).unwrap().unwrap());
        assert!(buffers.take(3 * 4096).unwrap().is_none());
        for buffer in small {
            buffers.give(buffer);
        }
        // The limit itself is no power of two.
        assert_eq!(buffers.take(3 * 4096).unwrap().unwrap().len(), 3 * 4096);
        assert!(buffers.take(1).unwrap().is_none());
    }

    #[test]
    fn what_is_set_aside_counts() {
        let mut buffers = Buffers::new(3 * 4096);
        let buffer = buffers.take(1).unwrap().unwrap();
        buffers.give(buffer);
        assert!(buffers.set_aside(3 * 4096), "the free buffer makes room");
        assert!(buffers.take(1).unwrap().is_none() && !buffers.set_aside(1));
        buffers.release(3 * 4096);
        assert!(buffers.take(1).unwrap().is_some());
    }

    #[test]
    fn where_the_system_has_no_memory_nothing_is_held() {
        let mut buffers = Buffers::new(usize::MAX / 2);
        assert!(buffers.take(usize::MAX / 4).is_err());
        assert_eq!(buffers.held, 0);
        assert!(buffers.take(1).unwrap().is_some());
    }

    #[test]
    fn what_nobody_uses_goes_back() {
        let mut buffers = Buffers::new(1 << 20);
        let used = buffers.take(4096).unwrap().unwrap();
        let free = buffers.take(4096).unwrap().unwrap();
        buffers.give(free);
        buffers.shrink();
        assert_eq!((buffers.held, buffers.has_free()), (4096, false));
        buffers.give(used);
    }
}
