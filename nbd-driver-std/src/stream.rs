//! A connected socket, never waited on but in [`Stream::wait`]. TLS will have its place here: the callers only
//! see bytes that go in, come out, or would have to be waited for.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay, socket_type};
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType, getpeername, recvmsg, sendmsg,
};

use crate::error::Error;
use crate::waker::Waker;

#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    waker: Waker,
}

/// What a wait ended with. Nothing at all means that the deadline has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) woken: bool,
}

impl Stream {
    /// Takes what a caller says is a connected stream socket.
    pub(crate) fn given(socket: OwnedFd) -> Result<Self, Error> {
        let failed = |error| Error::io("looking at the given file descriptor", error);
        if socket_type(&socket).map_err(failed)? != SocketType::STREAM {
            return Err(Error::Unsupported("the given file descriptor is not a stream socket"));
        }
        // On one that is not connected, nothing would ever come.
        getpeername(&socket).map_err(failed)?;
        Self::new(socket)
    }

    /// Takes a connected stream socket.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self, Error> {
        Ok(Self::woken_by(Waker::new()?, socket))
    }

    /// The same with a waker that is there already, which cannot fail.
    pub(crate) fn woken_by(waker: Waker, socket: OwnedFd) -> Self {
        // "both the client and server SHOULD disable Nagle's algorithm" (spec, *Protocol phases*). On sockets
        // that are not TCP both fail, and nothing is missing.
        let _ = set_tcp_nodelay(&socket, true);
        let _ = set_socket_keepalive(&socket, true);
        Self { socket, waker }
    }

    /// The socket itself, as it is.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Receives what is there; `None` if nothing is, `Some(0)` at the end of the stream.
    pub(crate) fn try_recv(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        loop {
            let received = recvmsg(&self.socket, buffers, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT);
            match received {
                Ok(message) => return Ok(Some(message.bytes)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends what there is room for; `None` if there is none.
    pub(crate) fn try_send(&self, buffers: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            match sendmsg(&self.socket, buffers, &mut SendAncillaryBuffer::default(), flags) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the socket can be read or written, as wanted, until [`wake`](Self::wake), or until the deadline.
    /// With neither wanted, a hang-up does not end the wait.
    pub(crate) fn wait(&self, read: bool, write: bool, deadline: Option<Instant>) -> io::Result<Ready> {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, read);
        interest.set(PollFlags::OUT, write);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            let mut fds = [PollFd::new(&self.waker, PollFlags::IN), PollFd::new(&self.socket, interest)];
            // The system tells a hang-up whether it is asked for or not.
            let count = if interest.is_empty() { 1 } else { 2 };
            match poll(&mut fds[..count], timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let (waker, socket) = (fds[0].revents(), fds[1].revents());
            let woken = waker.contains(PollFlags::IN);
            if woken {
                self.waker.clear();
            }
            // A hang-up or an error is told by the next receive or send.
            let failed = socket.intersects(PollFlags::HUP | PollFlags::ERR);
            return Ok(Ready {
                read: read && (failed || socket.contains(PollFlags::IN)),
                write: write && (failed || socket.contains(PollFlags::OUT)),
                woken,
            });
        }
    }

    /// Ends a [`wait`](Self::wait) in another thread.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// No more bytes will be sent or received.
    pub(crate) fn hang_up(&self) {
        // Fails when the other side has gone, which is what it is for.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    /// No more bytes will be sent.
    pub(crate) fn shutdown_write(&self) {
        // Fails when the other side has gone, which is what it is for.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }
}
