//! Memory for payload, used again.

use bytes::BytesMut;

/// How many buffers are kept.
const BUFFERS: usize = 256;

/// How many bytes are kept.
const BYTES: usize = 16 << 20;

/// Buffers that callers gave back. One pool serves all connections of a loop, so that one that is idle keeps nothing.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<BytesMut>,
    bytes: usize,
}

impl Pool {
    /// A buffer of this many bytes, whatever is in them.
    pub(crate) fn take(&mut self, length: usize) -> BytesMut {
        // The one that came last is most likely in the processor's cache.
        match self.buffers.iter().rposition(|buffer| buffer.capacity() >= length) {
            Some(at) => {
                let mut buffer = self.buffers.swap_remove(at);
                self.bytes -= buffer.capacity();
                buffer.resize(length, 0);
                buffer
            }
            None => BytesMut::zeroed(length),
        }
    }

    /// Keeps a buffer, unless there are enough.
    pub(crate) fn give(&mut self, buffer: BytesMut) {
        let size = buffer.capacity();
        if size > 0 && self.buffers.len() < BUFFERS && self.bytes + size <= BYTES {
            self.bytes += size;
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{BUFFERS, BYTES, Pool};

    #[test]
    fn what_was_given_is_taken_again_where_it_is_long_enough() {
        let mut pool = Pool::default();
        let buffer = BytesMut::zeroed(4096);
        let place = buffer.as_ptr();
        pool.give(buffer);
        assert_eq!(pool.take(5000).len(), 5000);
        let taken = pool.take(1000);
        assert_eq!((taken.as_ptr(), taken.len()), (place, 1000));
        assert_eq!((pool.bytes, pool.buffers.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes() {
        let mut pool = Pool::default();
        for _ in 0..2 * BUFFERS {
            pool.give(BytesMut::zeroed(16));
        }
        assert_eq!(pool.buffers.len(), BUFFERS);
        let mut pool = Pool::default();
        for _ in 0..3 {
            pool.give(BytesMut::zeroed(BYTES / 2));
        }
        assert_eq!((pool.bytes, pool.buffers.len()), (BYTES, 2));
    }
}
