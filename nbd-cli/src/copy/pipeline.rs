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
//! something in flight itself, so there is always one that can go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

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

/// The source's end.
pub(crate) struct Supply {
    buffers: Receiver<Vec<u8>>,
    pieces: Sender<Piece>,
}

impl Supply {
    /// A buffer, if one is free now.
    pub(crate) fn buffer(&self) -> Option<Vec<u8>> {
        self.buffers.try_recv().ok()
    }

    /// The next buffer to become free; `None` if the destination has failed.
    pub(crate) fn wait_for_buffer(&self) -> Option<Vec<u8>> {
        self.buffers.recv().ok()
    }

    /// Says whether the destination still takes anything.
    #[must_use]
    pub(crate) fn hand_over(&self, piece: Piece) -> bool {
        self.pieces.send(piece).is_ok()
    }
}

/// The destination's end.
pub(crate) struct Intake {
    pieces: Receiver<Piece>,
    buffers: Sender<Vec<u8>>,
    done: Arc<AtomicU64>,
}

/// What there is for the destination right now.
pub(crate) enum Next {
    Piece(Piece),
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl Intake {
    pub(crate) fn now(&self) -> Next {
        match self.pieces.try_recv() {
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
    let (piece_sender, pieces) = mpsc::channel();
    let (buffer_sender, buffers) = mpsc::channel();
    for _ in 0..geometry.depth {
        buffer_sender.send(Vec::new()).context("filling a channel")?;
    }
    let done = Arc::new(AtomicU64::new(0));
    let supply = Supply { buffers, pieces: piece_sender };
    let intake = Intake { pieces, buffers: buffer_sender, done: done.clone() };
    let (outcomes, outcome) = mpsc::channel();

    let report = outcomes.clone();
    spawn("source", move || {
        let result = source.run(&geometry, &supply);
        // The order matters: a destination that sees the end must not be done before this failure is known.
        let failed = result.is_err();
        let _ = report.send(result);
        if failed {
            std::mem::forget(supply);
        }
    })?;
    spawn("destination", move || {
        let _ = outcomes.send(destination.run(&intake));
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
            Err(RecvTimeoutError::Disconnected) => bail!("a thread of the copy has died"),
        }
    }
    meter.finish();
    Ok(())
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).context("starting a thread")?;
    Ok(())
}
