//! How much one connection does before it is others' turn.

/// What a turn ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// All that can be done now is done. The next turn is due after a readiness event, at the deadline, or when the
    /// caller has given it something to do.
    Wait,
    /// The share of one turn is used up, and more is left: another turn is due without waiting, after other connections
    /// had theirs.
    Again,
    /// This phase is over.
    Over,
}

/// How many system calls one turn makes in each direction. A peer that drips bytes is served a drop at a time.
const CALLS: u32 = 64;

/// How many bytes one turn moves in each direction.
const BYTES: usize = 256 * 1024;

/// What is left of a turn's share in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    calls: u32,
    bytes: usize,
}

impl Share {
    pub(crate) const WHOLE: Self = Self { calls: CALLS, bytes: BYTES };

    pub(crate) const fn is_left(self) -> bool {
        self.calls > 0 && self.bytes > 0
    }

    /// How many bytes the next call may move.
    pub(crate) const fn bytes(self) -> usize {
        self.bytes
    }

    /// A call has moved so many bytes.
    pub(crate) const fn used(&mut self, bytes: usize) {
        self.calls = self.calls.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
