//! A stream, and what is known of its readiness. TLS will have its place here: the callers only see bytes that go in,
//! come out, or have to be waited for.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};

use mio::Interest;
use mio::event::Event;

use crate::stream::Stream;

/// What a connection listens for: it reads while it writes, always.
pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

#[derive(Debug)]
pub(crate) struct Channel<S> {
    pub(crate) stream: S,
    /// Whether receiving is worth a try: from an event to the next `WouldBlock`.
    readable: bool,
    /// The same for sending.
    writable: bool,
}

impl<S: Stream> Channel<S> {
    /// What came before anybody listened for events is found out by trying.
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, readable: true, writable: true }
    }

    /// Takes note of a readiness event. One too many does no harm.
    pub(crate) fn ready(&mut self, event: &Event) {
        // An error, or an end, shows when it is met.
        let broken = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || broken;
        self.writable |= event.is_writable() || event.is_write_closed() || broken;
    }

    /// Takes note of what a direction has become ready for. What was ready before stays so.
    pub(crate) const fn set_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    pub(crate) const fn is_readable(&self) -> bool {
        self.readable
    }

    pub(crate) const fn is_writable(&self) -> bool {
        self.writable
    }

    /// Receives what is there; `None` if nothing is, `Some(0)` at the end of the stream.
    pub(crate) fn receive(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        while self.readable {
            match self.stream.read_vectored(buffers) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Sends what there is room for; `None` if there is none.
    pub(crate) fn send(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        while self.writable {
            match self.stream.write_vectored(buffers) {
                // Whoever takes nothing, and has no better time to offer, never will.
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, IoSliceMut, Write as _};

    use mio::net::UnixStream;
    use mio::{Events, Poll, Token};

    use super::{BOTH, Channel};

    /// Receives into this much room.
    fn receive(channel: &mut Channel<UnixStream>, room: usize) -> Option<usize> {
        channel.receive(&mut [IoSliceMut::new(&mut vec![0; room])]).unwrap()
    }

    #[test]
    fn an_end_behind_the_last_bytes_is_not_overlooked() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
        let mut channel = Channel::new(ours);
        poll.registry().register(&mut channel.stream, Token(0), BOTH).unwrap();
        theirs.write_all(b"some bytes").unwrap();
        drop(theirs);
        poll.poll(&mut events, None).unwrap();
        events.iter().for_each(|event| channel.ready(event));
        assert_eq!(receive(&mut channel, 100), Some(10));
        assert_eq!(receive(&mut channel, 100), Some(0));
    }

    #[test]
    fn only_a_call_that_would_block_ends_the_trying() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(ours);
        theirs.write_all(b"some bytes").unwrap();
        assert_eq!(receive(&mut channel, 100), Some(10));
        assert!(channel.is_readable());
        assert_eq!(receive(&mut channel, 100), None);
        assert!(!channel.is_readable());
        let much = vec![0; 16 << 20];
        assert!(channel.send(&[IoSlice::new(&much)]).unwrap().unwrap() < much.len());
        assert!(channel.is_writable());
        while channel.send(&[IoSlice::new(&much)]).unwrap().is_some() {}
        assert!(!channel.is_writable());
    }
}
