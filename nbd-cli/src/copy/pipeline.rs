//! Source and destination at work together.
//!
//! ```text
//!   source thread ── pieces: data that was read, or a range of zeroes ──▶ destination thread
//!        ▲                                                                      │
//!        └───────────────── buffers that are free again ◀───────────────────────┘
//! ```
//!
//! There is a fixed number of buffers, and a piece owns one until the destination has done with it: that bounds
//! both the memory and the number of pieces under way. Neither thread waits for the other one while it has
//! something in flight itself, so there is always one that can go on. A thread that waits for its server is woken
//! when there is something new for it to send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nbd_driver_std::Interrupter;

use super::destination::Destination;
use super::progress::Meter;
use super::source::Source;

/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How the disk is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// What all pieces but the last are multiples of.
    pub(crate) align: u64,
    /// The longest piece of data.
    pub(crate) step: u64,
    /// The longest piece of zeroes.
    pub(crate) zero_step: u64,
    /// How many pieces may be under way.
    pub(crate) depth: u32,
}

/// A part of the disk on its way.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Whether it is all zeroes; otherwise it is what the buffer holds.
    pub(crate) zero: bool,
    pub(crate) buffer: Vec<u8>,
}

impl Piece {
    pub(crate) fn data(offset: u64, buffer: Vec<u8>) -> Self {
        Self { offset, length: buffer.len() as u64, zero: false, buffer }
    }

    pub(crate) fn zeroes(offset: u64, length: u64, buffer: Vec<u8>) -> Self {
        Self { offset, length, zero: true, buffer }
    }
}

/// Wakes a thread that waits for its server.
struct Bell {
    /// Whether it is about to wait, or waits.
    armed: AtomicBool,
    interrupter: Option<Interrupter>,
}

impl Bell {
    fn new(interrupter: Option<Interrupter>) -> Arc<Self> {
        Arc::new(Self { armed: AtomicBool::new(false), interrupter })
    }

    fn ring(&self) {
        if let Some(interrupter) = &self.interrupter {
            if self.armed.swap(false, Ordering::SeqCst) {
                interrupter.interrupt();
            }
        }
    }

    /// Looks for something to do; if there is nothing, it will ring when there is.
    fn look<T>(&self, channel: &Receiver<T>) -> Result<T, TryRecvError> {
        match channel.try_recv() {
            Err(TryRecvError::Empty) => {
                self.armed.store(true, Ordering::SeqCst);
                // It may have come before the bell was armed.
                let second = channel.try_recv();
                if second.is_ok() {
                    self.armed.store(false, Ordering::SeqCst);
                }
                second
            }
            first => first,
        }
    }
}

/// The source's end.
pub(crate) struct Supply {
    buffers: Receiver<Vec<u8>>,
    pieces: Sender<Piece>,
    mine: Arc<Bell>,
    theirs: Arc<Bell>,
}

impl Supply {
    /// A buffer, if one is free now. If not, the source's interrupter is called when there is.
    pub(crate) fn buffer(&self) -> Option<Vec<u8>> {
        self.mine.look(&self.buffers).ok()
    }

    /// The next buffer to become free; `None` if the destination has failed.
    pub(crate) fn wait_for_buffer(&self) -> Option<Vec<u8>> {
        self.buffers.recv().ok()
    }

    /// Says whether the destination still takes anything.
    #[must_use]
    pub(crate) fn hand_over(&self, piece: Piece) -> bool {
        let taken = self.pieces.send(piece).is_ok();
        self.theirs.ring();
        taken
    }
}

/// The destination's end.
pub(crate) struct Intake {
    pieces: Receiver<Piece>,
    buffers: Sender<Vec<u8>>,
    done: Arc<AtomicU64>,
    mine: Arc<Bell>,
    theirs: Arc<Bell>,
}

/// What there is for the destination right now.
pub(crate) enum Next {
    Piece(Piece),
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl Intake {
    /// If there is nothing, the destination's interrupter is called when there is.
    pub(crate) fn now(&self) -> Next {
        match self.mine.look(&self.pieces) {
            Ok(piece) => Next::Piece(piece),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    pub(crate) fn wait(&self) -> Option<Piece> {
        self.pieces.recv().ok()
    }

    /// So many bytes are where they belong, and the buffer that was their share of the memory is free.
    pub(crate) fn finished(&self, length: u64, buffer: Vec<u8>) {
        self.done.fetch_add(length, Ordering::Relaxed);
        // A source that has read everything takes no buffers back.
        let _ = self.buffers.send(buffer);
        self.theirs.ring();
    }
}

/// Copies everything. On failure, whatever still runs is left to the end of the process: a source that waits for
/// a silent server must not keep the news from the user.
pub(crate) fn run(
    source: Source,
    destination: Destination,
    geometry: Geometry,
    mut meter: Meter,
) -> anyhow::Result<()> {
    let total = source.size();
    meter.show(0);
    let (piece_sender, pieces) = mpsc::channel();
    let (buffer_sender, buffers) = mpsc::channel();
    for _ in 0..geometry.depth {
        buffer_sender.send(Vec::new()).context("filling a channel")?;
    }
    let done = Arc::new(AtomicU64::new(0));
    let reader = Bell::new(source.interrupter());
    let writer = Bell::new(destination.interrupter());
    let supply = Supply { buffers, pieces: piece_sender, mine: reader.clone(), theirs: writer.clone() };
    let intake = Intake { pieces, buffers: buffer_sender, done: done.clone(), mine: writer, theirs: reader };
    let (outcomes, outcome) = mpsc::channel();

    let report = outcomes.clone();
    spawn("source", move || {
        let result = guarded(|| source.run(&geometry, &supply));
        // A destination that sees the end of the pieces makes a good end of its own, and must not after a failure.
        let failed = result.is_err();
        let _ = report.send(result);
        if failed {
            std::mem::forget(supply);
        }
    })?;
    spawn("destination", move || {
        let _ = outcomes.send(guarded(|| destination.run(&intake)));
    })?;

    let mut left = 2;
    while left > 0 {
        match outcome.recv_timeout(TICK) {
            Ok(Ok(())) => left -= 1,
            Ok(Err(error)) => {
                meter.abandon();
                return Err(error);
            }
            Err(RecvTimeoutError::Timeout) => meter.show(done.load(Ordering::Relaxed)),
            Err(RecvTimeoutError::Disconnected) => bail!("a thread of the copy is gone"),
        }
    }
    let done = done.load(Ordering::Relaxed);
    match total {
        Some(total) if total != done => bail!("{done} of {total} bytes were copied, and nothing has failed: a bug"),
        _ => {}
    }
    meter.finish();
    Ok(())
}

/// A thread that panics has failed like any other.
fn guarded(body: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| bail!("this program has a bug; see the message above"))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).context("starting a thread")?;
    Ok(())
}
