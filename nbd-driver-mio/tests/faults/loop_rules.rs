//! What each turn is held against: the rules of the loop, as the documentation gives them.

use std::time::{Duration, Instant};

use nbd_driver_mio::Turn;

use crate::network::{Moved, Shared};

/// How many calls a turn makes in each direction, and how many bytes it moves before the last of them.
const CALLS: u32 = 64;
const BYTES: usize = 256 * 1024;

/// The simulated clock as the driver sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn at(self, micros: u64) -> Instant {
        self.0 + Duration::from_micros(micros)
    }

    /// In microseconds, not before the instant.
    pub(crate) fn micros(self, at: Instant) -> u64 {
        (at - self.0).as_nanos().div_ceil(1000) as u64
    }
}

/// When a side is to have its next turn, but for events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// Something was told, or asked of it.
    pub(crate) now: bool,
    /// Its last turn said that there is more.
    pub(crate) again: bool,
    /// Its deadline, in microseconds.
    pub(crate) deadline: Option<u64>,
}

impl Due {
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.now || self.again || self.deadline.is_some_and(|at| at <= now)
    }

    /// Holds a turn against the rules, and takes note of when the next one is due. `progress`: whether anything came of
    /// it that the stream has not seen.
    pub(crate) fn after(
        &mut self,
        side: usize,
        turn: Turn,
        progress: bool,
        deadline: Option<Instant>,
        network: &Shared,
        clock: Clock,
    ) {
        let mut network = network.borrow_mut();
        let count = network.take_turn(side);
        for Moved { calls, bytes, last } in [count.reads, count.writes] {
            assert!(calls <= CALLS, "side {side} made {calls} calls in one turn");
            assert!(bytes - last < BYTES, "side {side} moved {bytes} bytes in one turn, {last} of them at last");
        }
        self.now = false;
        self.again = turn == Turn::Again;
        self.deadline = if turn == Turn::Over { None } else { deadline.map(|at| clock.micros(at)) };
        let moved = count.reads.calls + count.writes.calls + count.ends > 0;
        assert!(turn != Turn::Again || moved || progress, "side {side} did nothing, and says that there is more to do");
        if turn == Turn::Wait {
            let late = self.deadline.filter(|at| *at <= network.now);
            assert_eq!(late, None, "side {side} waits for a deadline that has passed: its loop would spin");
        }
    }
}
