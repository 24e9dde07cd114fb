//! A server that never makes its client wait: whatever is asked is answered at once, and any number of bytes fits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::{Client, ClientOptions, ConnectTimeouts, Connecting, Scratch, Stream, Turn};
use nbd_testkit::oldstyle_greeting;

/// What went through it, and by how many calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) reads: u32,
    pub(crate) writes: u32,
    pub(crate) read: usize,
    pub(crate) written: usize,
}

/// The client's end of a connection to it. Each call moves at most so many bytes.
pub(crate) struct Endless {
    per_call: usize,
    /// The part of a request that has come.
    request: Vec<u8>,
    /// How many bytes of the payload of a write are still to come.
    payload: usize,
    replies: VecDeque<u8>,
    /// Reads of so many bytes are never answered.
    forgets: Option<usize>,
    traffic: Rc<RefCell<Traffic>>,
}

/// A client of it that has no time-outs, and what it does to the stream. The server has a terabyte.
pub(crate) fn client(per_call: usize) -> (Client<Endless>, Rc<RefCell<Traffic>>) {
    with(per_call, None, ClientOptions::default())
}

/// The same with options.
pub(crate) fn client_with(per_call: usize, options: ClientOptions) -> (Client<Endless>, Rc<RefCell<Traffic>>) {
    with(per_call, None, options)
}

/// A client of one that never answers a read of 13 bytes.
pub(crate) fn forgetful(options: ClientOptions) -> Client<Endless> {
    with(1 << 20, Some(13), options).0
}

fn with(per_call: usize, forgets: Option<usize>, options: ClientOptions) -> (Client<Endless>, Rc<RefCell<Traffic>>) {
    let traffic = Rc::new(RefCell::new(Traffic::default()));
    let stream = Endless {
        per_call,
        forgets,
        request: Vec::new(),
        payload: 0,
        replies: oldstyle_greeting(1 << 40, crate::peer::ALL.into()).into(),
        traffic: traffic.clone(),
    };
    let now = Instant::now();
    let mut connecting = Connecting::new(stream, ConnectSettings::new(""), ConnectTimeouts::default(), now);
    let mut scratch = Scratch::new();
    while connecting.turn(&mut scratch, now).unwrap() != Turn::Over {}
    *traffic.borrow_mut() = Traffic::default();
    (connecting.into_client(options).unwrap(), traffic)
}

impl Endless {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let missing = (28 - self.request.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(missing);
            self.request.extend_from_slice(head);
            bytes = rest;
            if self.request.len() == 28 {
                self.answer();
            }
        }
    }

    fn answer(&mut self) {
        let length = u32::from_be_bytes(self.request[24..].try_into().unwrap()) as usize;
        let command = u16::from_be_bytes([self.request[6], self.request[7]]);
        if command == crate::peer::DISC {
            return self.request.clear();
        }
        if command == crate::peer::READ && self.forgets == Some(length) {
            return self.request.clear();
        }
        self.replies.extend(0x6744_6698_u32.to_be_bytes());
        self.replies.extend([0; 4]);
        self.replies.extend(&self.request[8..16]);
        match command {
            crate::peer::READ => self.replies.resize(self.replies.len() + length, 7),
            crate::peer::WRITE => self.payload = length,
            other => panic!("command {other}"),
        }
        self.request.clear();
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (mut count, per_call) = (0, self.per_call);
        for buffer in buffers {
            let most = buffer.len().min(per_call - count);
            count += self.replies.read(&mut buffer[..most])?;
        }
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut traffic = self.traffic.borrow_mut();
        traffic.reads += 1;
        traffic.read += count;
        Ok(count)
    }
}

impl Write for Endless {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut count, per_call) = (0, self.per_call);
        for buffer in buffers {
            let most = buffer.len().min(per_call - count);
            self.take(&buffer[..most]);
            count += most;
        }
        let mut traffic = self.traffic.borrow_mut();
        traffic.writes += 1;
        traffic.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// It is always ready, and nothing ever has to tell.
impl Source for Endless {
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

impl Stream for Endless {}
