//! Memory that all connections of a loop receive into, one after the other.

use std::fmt;

use nbd_proto::limits::MIN_INPUT_BUFFER;

use crate::pool::Pool;

/// How many bytes one call can receive beside payload that lands in its own buffer.
const SIZE: usize = 128 * 1024;

// Behind the beginning of a message there is always room for more of it.
const _: () = assert!(SIZE > MIN_INPUT_BUFFER);

/// Room for headers and small payloads. One is enough for all connections of a loop: what belongs to a connection is
/// not kept in it between two turns, so that an idle connection takes next to no memory.
///
/// It also keeps up to 16 MiB of buffers that were given back by [`Server::reuse`](crate::Server::reuse).
pub struct Scratch {
    room: Box<[u8]>,
    pool: Pool,
}

impl Scratch {
    /// 128 KiB of it.
    pub fn new() -> Self {
        Self { room: vec![0; SIZE].into_boxed_slice(), pool: Pool::default() }
    }

    /// Begins a turn: with what was left over from the one before.
    pub(crate) fn take_up(&mut self, rest: &mut Rest) -> Intake<'_> {
        let end = rest.0.len();
        self.room[..end].copy_from_slice(&rest.0);
        rest.0.clear();
        Intake { scratch: &mut self.room, pool: &mut self.pool, start: 0, end }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// How much memory for left-overs an idle connection keeps, in bytes.
const KEPT: usize = 1024;

/// Bytes that came and could not be used yet: mostly the beginning of a header. Never more than a scratch holds.
#[derive(Debug, Default)]
pub(crate) struct Rest(Vec<u8>);

impl Rest {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Keeps what a turn leaves behind.
    pub(crate) fn put_by(&mut self, bytes: &[u8]) {
        self.0.clear();
        self.0.extend_from_slice(bytes);
        // Not for each byte less: a header's beginning comes and goes.
        if self.0.capacity() > 4 * KEPT.max(bytes.len()) {
            self.0.shrink_to(KEPT);
        }
    }
}

/// The scratch in the hands of one connection.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    scratch: &'a mut [u8],
    pool: &'a mut Pool,
    start: usize,
    end: usize,
}

impl Intake<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.scratch[self.start..self.end]
    }

    /// Where what comes next is to be put: behind what is there. Not empty unless the scratch is full of bytes that cannot
    /// be used yet.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.scratch.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.scratch[self.end..]
    }

    /// The buffers that all connections share.
    pub(crate) const fn pool(&mut self) -> &mut Pool {
        self.pool
    }

    /// So many bytes were put there.
    pub(crate) fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.scratch.len());
    }

    /// So many bytes were used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Rest};

    #[test]
    fn what_much_has_needed_is_not_kept_for_little() {
        let mut rest = Rest::default();
        rest.put_by(&[7; 8 * KEPT]);
        rest.put_by(&[7; 7 * KEPT]);
        assert!(rest.0.capacity() >= 8 * KEPT);
        rest.put_by(&[7; 10]);
        assert!(rest.0.capacity() <= 4 * KEPT && rest.0 == [7; 10]);
        rest.put_by(&[]);
        assert!(rest.0.capacity() <= 4 * KEPT && rest.0.is_empty());
    }
}
