//! What a connection moves its bytes over.

use std::io::{self, Read, Write};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

/// A stream of bytes that never waits: each call moves what it can, or fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock), and the next readiness event tells when to try again.
///
/// [`Socket`](crate::Socket) is the usual one. Implement it for anything else that reads and writes bytes in order: a pair
/// of pipes, a tunnel, a stream that a test breaks on purpose. Reading 0 bytes is the end of the stream; writing 0 of
/// some is taken for an error. `flush` is never called: what was written has to leave by itself.
pub trait Stream: Read + Write + Source {
    /// Whether the connection has been made, or why it cannot be. Asked after readiness events, until it says yes.
    fn is_connected(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// The connection is over: the other side should see that, though this value is still kept.
    fn hang_up(&mut self) {}
}

impl Stream for TcpStream {
    fn is_connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        made(self.peer_addr())
    }

    fn hang_up(&mut self) {
        // It may be closed at the other end.
        let _ = self.shutdown(std::net::Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn is_connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        made(self.peer_addr())
    }

    fn hang_up(&mut self) {
        let _ = self.shutdown(std::net::Shutdown::Both);
    }
}

/// Whether there is a peer, from the attempt to ask who it is.
pub(crate) fn made<T>(peer: io::Result<T>) -> io::Result<bool> {
    match peer {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
