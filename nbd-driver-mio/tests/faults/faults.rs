//! What a network does to those who use it.

use fastrand::Rng;

/// Never comes, in simulated microseconds.
pub(crate) const NEVER: u64 = u64::MAX;

/// Which way bytes go; also the side that writes them.
pub(crate) const TO_SERVER: usize = 0;
pub(crate) const TO_CLIENT: usize = 1;

/// All that one network does. Chances are in 256.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The most bytes that one call moves.
    pub(crate) short: usize,
    /// The chance that a call moves only a part of the first of its pieces.
    pub(crate) part_of_first: u8,
    /// The chance that a call would block for no reason. An event follows.
    pub(crate) would_block: u8,
    /// The chance that a signal interrupts a call.
    pub(crate) interrupted: u8,
    /// The chance that an event comes for no reason, at each step of the loop.
    pub(crate) spurious_event: u8,
    /// The chance that a true event is told later than it could be, at each step.
    pub(crate) late_event: u8,
    /// The longest time on the way, in microseconds.
    pub(crate) delay: u64,
    /// How many bytes are on the way at most, in each direction.
    pub(crate) capacity: usize,
    /// Whether sending to somebody who has gone fails. Otherwise the bytes vanish.
    pub(crate) sending_to_nobody_fails: bool,
    /// What becomes of the attempt to connect.
    pub(crate) connect: Connect,
    /// What happens to the stream, once.
    pub(crate) trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    /// Accepted after it was asked about so often.
    Accepted(u32),
    /// The same, but refused.
    Refused(u32),
    /// Nothing ever comes.
    Never,
}

/// At this byte of one direction, something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) direction: usize,
    pub(crate) at: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The end of this direction. The other one goes on.
    HalfClose,
    /// Nothing goes any more, in either direction.
    Reset(Reset),
    /// Nothing arrives any more in this direction, and nobody is told.
    Stall,
    /// Sending takes 0 bytes.
    WriteZero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    /// How much later each side hears of it.
    pub(crate) later: [u64; 2],
    /// Whether what had arrived can still be read.
    pub(crate) drained: bool,
    /// Whether sending tells of a broken pipe at once, and leaves the reset to be read.
    pub(crate) pipe_first: bool,
}

impl Faults {
    /// A network without faults.
    pub(crate) const NONE: Self = Self {
        short: usize::MAX,
        part_of_first: 0,
        would_block: 0,
        interrupted: 0,
        spurious_event: 0,
        late_event: 0,
        delay: 0,
        capacity: 256 * 1024,
        sending_to_nobody_fails: true,
        connect: Connect::Accepted(0),
        trouble: None,
    };

    /// Any network. `bytes` is about how much is going to be sent each way.
    pub(crate) fn random(rng: &mut Rng, bytes: u64) -> Self {
        let chance = |rng: &mut Rng| [0, 0, rng.u8(..8), rng.u8(..100)][rng.usize(..4)];
        let delay = [0, rng.u64(..20), rng.u64(..10_000)][rng.usize(..3)];
        // Where much is to be moved, not byte by byte: that would take too long.
        let least = (bytes / 3000).max(1) as usize;
        let some = |rng: &mut Rng, up_to: usize| least + rng.usize(..up_to);
        let connect = match rng.u8(..32) {
            0 => Connect::Refused(rng.u32(..4)),
            1 => Connect::Never,
            2..16 => Connect::Accepted(rng.u32(..4)),
            _ => Connect::Accepted(0),
        };
        let kind = match rng.u8(..12) {
            0..2 => Some(Kind::HalfClose),
            2..5 => Some(Kind::Reset(Reset {
                later: [[0, rng.u64(..20_000)], [rng.u64(..20_000), 0], [0, 0]][rng.usize(..3)],
                drained: rng.bool(),
                pipe_first: rng.bool(),
            })),
            5 => Some(Kind::Stall),
            6 => Some(Kind::WriteZero),
            _ => None,
        };
        Self {
            short: match rng.u8(..4) {
                0 => some(rng, 4),
                1 => some(rng, 5000),
                _ => usize::MAX,
            },
            part_of_first: chance(rng),
            would_block: chance(rng),
            interrupted: chance(rng),
            spurious_event: chance(rng),
            late_event: chance(rng),
            delay,
            capacity: match rng.u8(..4) {
                0 => some(rng, 16),
                1 => some(rng, 10_000),
                _ => 200 * 1024,
            },
            sending_to_nobody_fails: rng.bool(),
            connect,
            trouble: kind.map(|kind| Trouble {
                direction: rng.usize(..2),
                at: [rng.u64(..300), rng.u64(..3000), rng.u64(..=bytes)][rng.usize(..3)],
                kind,
            }),
        }
    }

    /// Whether somebody may wait for ever, so that only a deadline helps.
    pub(crate) fn is_silent(&self) -> bool {
        let stalled = self.trouble.is_some_and(|trouble| trouble.kind == Kind::Stall);
        stalled || self.connect == Connect::Never
    }

    /// Whether all has to end well.
    pub(crate) const fn is_harmless(&self) -> bool {
        self.trouble.is_none() && matches!(self.connect, Connect::Accepted(_))
    }
}
