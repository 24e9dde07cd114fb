//! Memory for payload: bounded for each connection, and used again.

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
    /// one for a length that [can be held](Self::can_hold). It holds anything.
    pub(super) fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let size = length.max(SMALLEST).checked_next_power_of_two()?.min(self.limit.max(length));
        if let Some(at) = self.free.iter().rposition(|buffer| buffer.len() == size) {
            return Some(self.free.swap_remove(at));
        }
        self.set_aside(size).then(|| vec![0; size])
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
        let mut buffer = buffers.take(5000).unwrap();
        buffer[4999] = 7;
        buffers.give(buffer);
        assert_eq!(buffers.take(6000).unwrap()[4999], 7);
        assert_eq!(buffers.held, 8192);
    }

    #[test]
    fn the_limit_holds() {
        let mut buffers = Buffers::new(3 * 4096);
        let all: Vec<_> = std::iter::from_fn(|| buffers.take(1)).collect();
        assert_eq!(all.len(), 3);
        for buffer in all {
            buffers.give(buffer);
        }
        assert!(buffers.take(1).is_some());
    }

    #[test]
    fn free_buffers_make_room_for_one_of_another_size() {
        let mut buffers = Buffers::new(3 * 4096);
        let small = [buffers.take(1).unwrap(), buffers.take(1).unwrap()];
        assert!(buffers.take(3 * 4096).is_none());
        for buffer in small {
            buffers.give(buffer);
        }
        // The limit itself is no power of two.
        assert_eq!(buffers.take(3 * 4096).unwrap().len(), 3 * 4096);
        assert!(buffers.take(1).is_none());
    }

    #[test]
    fn what_is_set_aside_counts() {
        let mut buffers = Buffers::new(3 * 4096);
        let buffer = buffers.take(1).unwrap();
        buffers.give(buffer);
        assert!(buffers.set_aside(3 * 4096), "the free buffer makes room");
        assert!(buffers.take(1).is_none() && !buffers.set_aside(1));
        buffers.release(3 * 4096);
        assert!(buffers.take(1).is_some());
    }

    #[test]
    fn what_nobody_uses_goes_back() {
        let mut buffers = Buffers::new(1 << 20);
        let used = buffers.take(4096).unwrap();
        let free = buffers.take(4096).unwrap();
        buffers.give(free);
        buffers.shrink();
        assert_eq!((buffers.held, buffers.has_free()), (4096, false));
        buffers.give(used);
    }
}
