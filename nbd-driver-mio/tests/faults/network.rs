//! A network in memory between one client and one server. Its time is simulated, and it tells readiness as seldom as
//! the contract of edges allows: once, when something becomes possible that was tried in vain before.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::rc::Rc;

use fastrand::Rng;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use nbd_driver_mio::Stream;

use crate::faults::{Connect, Faults, Kind, NEVER, Reset, TO_CLIENT, TO_SERVER};

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    /// What is on the way, in order.
    pieces: VecDeque<Piece>,
    held: usize,
    /// How many bytes were ever taken.
    written: u64,
    /// When the writer's end is seen.
    ended: Option<u64>,
    /// When the writer can see that nobody reads any more.
    unread: Option<u64>,
    /// What is sent vanishes.
    vanishes: bool,
    stalled: bool,
    takes_zero: bool,
}

struct Piece {
    arrives: u64,
    bytes: Vec<u8>,
    read: usize,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.bytes.len() - self.read, self.arrives)
    }
}

/// What the network knows of one side.
#[derive(Debug, Default)]
struct Side {
    /// Whether it was told `WouldBlock`, and nothing since.
    awaits_read: bool,
    awaits_write: bool,
    read_blocked: u64,
    write_blocked: u64,
    /// When it hears of a reset.
    dies: Option<u64>,
    told_of_reset: bool,
    hung_up: bool,
    turn: TurnCount,
}

/// What happened in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TurnCount {
    pub(crate) reads: Moved,
    pub(crate) writes: Moved,
    /// Ends and errors that were told.
    pub(crate) ends: u32,
}

/// What the calls of one direction moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) calls: u32,
    pub(crate) bytes: usize,
    pub(crate) last: usize,
}

impl Moved {
    fn count(&mut self, bytes: usize) {
        self.calls += 1;
        self.bytes += bytes;
        self.last = bytes;
    }
}

/// How often each fault was met: a test of a fault that never happened proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) short_reads: u32,
    pub(crate) short_writes: u32,
    pub(crate) parts_of_first: u32,
    pub(crate) would_block: u32,
    pub(crate) interrupted: u32,
    pub(crate) full: u32,
    pub(crate) not_connected: u32,
    pub(crate) resets: u32,
    pub(crate) broken_pipes: u32,
    pub(crate) ends: u32,
    pub(crate) trouble: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    /// Microseconds.
    pub(crate) now: u64,
    pub(crate) met: Met,
    faults: Faults,
    rng: Rng,
    pipes: [Pipe; 2],
    sides: [Side; 2],
    connect: Connect,
    /// When the next event of connecting comes.
    connecting: Option<u64>,
    connected: bool,
}

pub(crate) type Shared = Rc<RefCell<Network>>;

/// Makes a network, and both of its ends.
pub(crate) fn network(faults: Faults, rng: Rng) -> (Shared, [End; 2]) {
    let network = Rc::new(RefCell::new(Network {
        now: 0,
        met: Met::default(),
        connect: faults.connect,
        connecting: None,
        connected: false,
        faults,
        rng,
        pipes: Default::default(),
        sides: Default::default(),
    }));
    let ends = [TO_SERVER, TO_CLIENT].map(|side| End { network: Rc::clone(&network), side });
    (network, ends)
}

impl Network {
    fn chance(&mut self, chance: u8) -> bool {
        chance > 0 && self.rng.u8(..) < chance
    }

    fn delay(&mut self) -> u64 {
        self.now + self.rng.u64(..=self.faults.delay)
    }

    fn is_dead(&self, side: usize) -> bool {
        self.sides[side].dies.is_some_and(|at| at <= self.now)
    }

    /// When receiving can do anything but block, as far as that is known.
    fn readable_at(&self, side: usize) -> u64 {
        let pipe = &self.pipes[1 - side];
        let came = pipe.pieces.front().map_or_else(|| pipe.ended.unwrap_or(NEVER), |piece| piece.arrives);
        let dies = self.sides[side].dies.unwrap_or(NEVER);
        came.min(dies).max(self.sides[side].read_blocked)
    }

    fn writable_at(&self, side: usize) -> u64 {
        let pipe = &self.pipes[side];
        let room = if pipe.vanishes || pipe.takes_zero || pipe.held < self.faults.capacity { 0 } else { NEVER };
        let dies = self.sides[side].dies.unwrap_or(NEVER);
        room.min(pipe.unread.unwrap_or(NEVER)).min(dies).max(self.sides[side].write_blocked)
    }

    /// What has become possible that this side waits for: readable, writable. Each is told once.
    pub(crate) fn event(&mut self, side: usize) -> Option<(bool, bool)> {
        let mut writable = self.sides[side].awaits_write && self.writable_at(side) <= self.now;
        let readable = self.sides[side].awaits_read && self.readable_at(side) <= self.now;
        if side == TO_SERVER && self.connecting.is_some_and(|at| at <= self.now) {
            self.connecting = None;
            writable = true;
        }
        self.told(side, readable, writable);
        (readable || writable).then_some((readable, writable))
    }

    /// A side has been told that it may try again.
    pub(crate) fn told(&mut self, side: usize, readable: bool, writable: bool) {
        self.sides[side].awaits_read &= !readable;
        self.sides[side].awaits_write &= !writable;
    }

    /// Whether this side has been told that there is nothing to read, and nothing since.
    pub(crate) fn has_drained(&self, side: usize) -> bool {
        self.sides[side].awaits_read
    }

    /// How many bytes this side has sent.
    pub(crate) fn written(&self, side: usize) -> u64 {
        self.pipes[side].written
    }

    /// When the next event for this side may come.
    pub(crate) fn next_event(&self, side: usize) -> u64 {
        let state = &self.sides[side];
        let readable = if state.awaits_read { self.readable_at(side) } else { NEVER };
        let writable = if state.awaits_write { self.writable_at(side) } else { NEVER };
        let connecting = if side == TO_SERVER { self.connecting.unwrap_or(NEVER) } else { NEVER };
        readable.min(writable).min(connecting)
    }

    /// Begins to count what a turn does, and tells of the turn before.
    pub(crate) fn take_turn(&mut self, side: usize) -> TurnCount {
        std::mem::take(&mut self.sides[side].turn)
    }

    pub(crate) fn hang_up(&mut self, side: usize) {
        if std::mem::replace(&mut self.sides[side].hung_up, true) {
            return;
        }
        let at = self.delay();
        let arrives = self.pipes[side].pieces.back().map_or(at, |last| at.max(last.arrives));
        if !self.pipes[side].stalled {
            self.pipes[side].ended.get_or_insert(arrives);
            self.pipes[1 - side].unread.get_or_insert(at);
        }
    }

    /// Something happens to the stream at this byte.
    pub(crate) fn happen(&mut self, side: usize, kind: Kind) {
        self.met.trouble = true;
        match kind {
            Kind::HalfClose => {
                let at = self.delay();
                let arrives = self.pipes[side].pieces.back().map_or(at, |last| at.max(last.arrives));
                self.pipes[side].ended = Some(arrives);
                self.pipes[side].vanishes = true;
            }
            Kind::Reset(Reset { later, drained, .. }) => {
                for ((pipe, state), later) in self.pipes.iter_mut().zip(&mut self.sides).zip(later) {
                    state.dies = Some(self.now + later);
                    pipe.vanishes = true;
                    if drained {
                        pipe.pieces.retain(|piece| piece.arrives <= self.now);
                    } else {
                        pipe.pieces.clear();
                    }
                    pipe.held = pipe.pieces.iter().map(|piece| piece.bytes.len() - piece.read).sum();
                }
            }
            Kind::Stall => self.pipes[side].stalled = true,
            Kind::WriteZero => self.pipes[side].takes_zero = true,
        }
    }

    /// How many bytes a call moves of those that it could.
    fn cut(&mut self, could: usize, first: usize, pieces: usize) -> usize {
        let mut count = could;
        if self.faults.short < could {
            count = self.rng.usize(1..=self.faults.short);
        }
        if pieces > 1 && first > 1 && count >= first && self.chance(self.faults.part_of_first) {
            self.met.parts_of_first += 1;
            count = self.rng.usize(1..first);
        }
        count
    }

    fn reset_on_read(&mut self, side: usize) -> io::Result<usize> {
        self.sides[side].turn.ends += 1;
        if std::mem::replace(&mut self.sides[side].told_of_reset, true) {
            self.met.ends += 1;
            return Ok(0);
        }
        self.met.resets += 1;
        Err(ErrorKind::ConnectionReset.into())
    }

    fn read(&mut self, side: usize, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.must_be_connected(side);
        assert!(!self.sides[side].awaits_read, "side {side} tried to read again though nothing has changed");
        if self.chance(self.faults.interrupted) {
            self.met.interrupted += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        let could: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        assert!(could > 0, "side {side} read into no room: that looks like the end");
        if self.chance(self.faults.would_block) {
            self.met.would_block += 1;
            self.sides[side].read_blocked = self.delay() + 1;
            self.sides[side].awaits_read = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let (now, pipe) = (self.now, &self.pipes[1 - side]);
        if self.sides[side].hung_up {
            return Ok(0);
        }
        if pipe.pieces.front().is_none_or(|piece| piece.arrives > now) {
            if self.is_dead(side) {
                return self.reset_on_read(side);
            }
            if pipe.pieces.is_empty() && pipe.ended.is_some_and(|at| at <= now) {
                self.sides[side].turn.ends += 1;
                self.met.ends += 1;
                return Ok(0);
            }
            self.sides[side].awaits_read = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let there =
            pipe.pieces.iter().take_while(|piece| piece.arrives <= now).map(|piece| piece.bytes.len() - piece.read);
        let could = could.min(there.sum());
        let count = self.cut(could, buffers[0].len(), buffers.len());
        self.met.short_reads += u32::from(count < could);
        let mut left = count;
        let pipe = &mut self.pipes[1 - side];
        for buffer in buffers {
            let mut place = &mut buffer[..];
            while left > 0 && !place.is_empty() {
                let piece = &mut pipe.pieces[0];
                let part = left.min(place.len()).min(piece.bytes.len() - piece.read);
                let (target, rest) = place.split_at_mut(part);
                target.copy_from_slice(&piece.bytes[piece.read..piece.read + part]);
                place = rest;
                piece.read += part;
                left -= part;
                if piece.read == piece.bytes.len() {
                    pipe.pieces.pop_front();
                }
            }
        }
        pipe.held -= count;
        self.sides[side].turn.reads.count(count);
        Ok(count)
    }

    fn write(&mut self, side: usize, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.must_be_connected(side);
        assert!(!self.sides[side].awaits_write, "side {side} tried to write again though nothing has changed");
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if wanted == 0 {
            return Ok(0);
        }
        if self.chance(self.faults.interrupted) {
            self.met.interrupted += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        if self.chance(self.faults.would_block) {
            self.met.would_block += 1;
            self.sides[side].write_blocked = self.delay() + 1;
            self.sides[side].awaits_write = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if let Some(trouble) = self.faults.trouble.filter(|trouble| trouble.direction == side) {
            if !self.met.trouble && self.pipes[side].written >= trouble.at {
                self.happen(side, trouble.kind);
            }
        }
        if self.is_dead(side) || self.sides[side].hung_up {
            return Err(self.broken(side));
        }
        let (now, pipe) = (self.now, &self.pipes[side]);
        if pipe.takes_zero {
            self.sides[side].turn.ends += 1;
            return Ok(0);
        }
        let unread = pipe.unread.is_some_and(|at| at <= now);
        if unread && self.faults.sending_to_nobody_fails {
            return Err(self.broken(side));
        }
        let vanishes = pipe.vanishes || unread;
        let mut could = wanted;
        if !vanishes {
            could = could.min(self.faults.capacity.saturating_sub(pipe.held));
            if could == 0 {
                self.met.full += 1;
                self.sides[side].awaits_write = true;
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        let mut count = self.cut(could, buffers[0].len(), buffers.len());
        self.met.short_writes += u32::from(count < could);
        if let Some(trouble) = self.faults.trouble.filter(|trouble| trouble.direction == side && !self.met.trouble) {
            // Exactly to that byte.
            count = count.min((trouble.at - self.pipes[side].written) as usize);
        }
        let arrives = if self.pipes[side].stalled { NEVER } else { self.delay() };
        let pipe = &mut self.pipes[side];
        pipe.written += count as u64;
        if !vanishes {
            let arrives = pipe.pieces.back().map_or(arrives, |last| arrives.max(last.arrives));
            if pipe.pieces.back().is_none_or(|last| last.arrives < arrives) {
                pipe.pieces.push_back(Piece { arrives, bytes: Vec::new(), read: 0 });
            }
            let bytes = &mut pipe.pieces.back_mut().unwrap().bytes;
            let mut left = count;
            for buffer in buffers {
                let part = left.min(buffer.len());
                bytes.extend_from_slice(&buffer[..part]);
                left -= part;
            }
            pipe.held += count;
        }
        self.sides[side].turn.writes.count(count);
        Ok(count)
    }

    fn broken(&mut self, side: usize) -> io::Error {
        self.sides[side].turn.ends += 1;
        let pipe_first = match self.faults.trouble.map(|trouble| trouble.kind) {
            Some(Kind::Reset(reset)) => reset.pipe_first,
            _ => true,
        };
        if pipe_first || std::mem::replace(&mut self.sides[side].told_of_reset, true) {
            self.met.broken_pipes += 1;
            return ErrorKind::BrokenPipe.into();
        }
        self.met.resets += 1;
        ErrorKind::ConnectionReset.into()
    }

    fn must_be_connected(&self, side: usize) {
        assert!(side != TO_SERVER || self.connected, "the client used a stream that was not connected yet");
    }

    fn is_connected(&mut self, side: usize) -> io::Result<bool> {
        if side != TO_SERVER || self.connected {
            return Ok(true);
        }
        match &mut self.connect {
            Connect::Accepted(0) => {
                self.connected = true;
                return Ok(true);
            }
            Connect::Refused(0) => return Err(ErrorKind::ConnectionRefused.into()),
            Connect::Accepted(left) | Connect::Refused(left) => {
                *left -= 1;
                self.connecting = Some(self.delay());
            }
            Connect::Never => {}
        }
        self.met.not_connected += 1;
        Ok(false)
    }
}

/// One end, for a connection.
#[derive(Debug)]
pub(crate) struct End {
    network: Shared,
    side: usize,
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.network.borrow_mut().read(self.side, buffers)
    }
}

impl Write for End {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.network.borrow_mut().write(self.side, buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The simulated loop needs no registration.
impl Source for End {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for End {
    fn is_connected(&mut self) -> io::Result<bool> {
        self.network.borrow_mut().is_connected(self.side)
    }

    fn hang_up(&mut self) {
        self.network.borrow_mut().hang_up(self.side);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.network.borrow_mut().hang_up(self.side);
    }
}
