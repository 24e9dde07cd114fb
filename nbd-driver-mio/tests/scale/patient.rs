//! A stream that waits where it would block, for a time: then nothing but its own bound ends a turn.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nbd_driver_mio::{Socket, Stream};
use rustix::event::{PollFd, PollFlags, poll};

/// What a test knows of a stream, and tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
pub(crate) struct Count {
    /// For how many bytes more it waits where it would block.
    pub(crate) patience: usize,
    /// Calls since the turn began.
    pub(crate) calls: usize,
    /// Bytes since the turn began.
    pub(crate) bytes: usize,
    /// The most bytes that one call has moved.
    pub(crate) most: usize,
}

impl Meter {
    pub(crate) fn look(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self, bytes: usize) {
        let mut count = self.look();
        count.patience = count.patience.saturating_sub(bytes);
        count.calls += 1;
        count.bytes += bytes;
        count.most = count.most.max(bytes);
    }
}

#[derive(Debug)]
pub(crate) struct Patient {
    pub(crate) socket: Socket,
    pub(crate) reads: Meter,
    pub(crate) writes: Meter,
}

impl Patient {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, reads: Meter::default(), writes: Meter::default() }
    }
}

/// Moves bytes, and waits for that as long as the meter says.
fn insist(
    socket: &mut Socket,
    meter: &Meter,
    direction: PollFlags,
    mut step: impl FnMut(&mut Socket) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match step(socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && meter.look().patience > 0 => {
                poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), direction)], None)?;
            }
            result => return result.inspect(|bytes| meter.moved(*bytes)),
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        insist(&mut self.socket, &self.reads, PollFlags::IN, |socket| socket.read_vectored(buffers))
    }
}

impl Write for Patient {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        insist(&mut self.socket, &self.writes, PollFlags::OUT, |socket| socket.write_vectored(buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Patient {
    fn is_connected(&mut self) -> io::Result<bool> {
        self.socket.is_connected()
    }

    fn hang_up(&mut self) {
        self.socket.hang_up();
    }
}

impl Source for Patient {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}
