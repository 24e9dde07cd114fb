//! Memory for payload, used again.

use bytes::BytesMut;

/// How many buffers are kept.
const KEPT: usize = 16;

/// Buffers that the caller gave back.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<BytesMut>);

impl Pool {
    /// A buffer of this many bytes, whatever is in them.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        match self.0.iter().position(|buffer| buffer.capacity() >= length) {
            Some(at) => {
                let mut buffer = self.0.swap_remove(at);
                buffer.resize(length, 0);
                buffer
            }
            None => BytesMut::zeroed(length),
        }
    }

    /// Keeps a buffer, unless there are enough.
    pub(super) fn give(&mut self, buffer: BytesMut) {
        if self.0.len() < KEPT && buffer.capacity() > 0 {
            self.0.push(buffer);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}
