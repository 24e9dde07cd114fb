//! What one connection does in one turn is bounded, so that no client can starve another.

use std::io::{self, Read, Write};
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::{Accepting, Scratch, Server, ServerEvent, ServerOptions, Stream, Turn};

use crate::one::{One, hello, offer};
use crate::raw::{READ, WRITE, request};

const FLUSH: u16 = 3;

/// What a turn moves each way, and by how many calls.
const SHARE: usize = 256 << 10;
const CALLS: usize = 64;

/// A stream that never blocks: its client says the same again and again, as fast as can be, and takes every answer.
struct Endless {
    bytes: Vec<u8>,
    /// Where the repetition begins.
    start: usize,
    at: usize,
    /// How many bytes one call moves at most.
    most: usize,
    /// Bytes and calls.
    read: (usize, usize),
    written: (usize, usize),
}

impl Endless {
    fn saying(message: &[u8], most: usize) -> Self {
        let hello = hello();
        let start = hello.len();
        Self { bytes: [hello, message.to_vec()].concat(), start, at: 0, most, read: (0, 0), written: (0, 0) }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() {
            self.at = self.start;
        }
        let count = buffer.len().min(self.bytes.len() - self.at).min(self.most);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        self.read = (self.read.0 + count, self.read.1 + 1);
        Ok(count)
    }
}

impl Write for Endless {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let count = buffers.iter().map(|buffer| buffer.len()).sum::<usize>().min(self.most);
        self.written = (self.written.0 + count, self.written.1 + 1);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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

/// What the stream has moved is seen through this.
struct Seen(std::rc::Rc<std::cell::RefCell<Endless>>);

impl Read for Seen {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Write for Seen {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow_mut().write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Seen {
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

impl Stream for Seen {}

struct Flood {
    server: Server<Seen>,
    stream: std::rc::Rc<std::cell::RefCell<Endless>>,
    scratch: Scratch,
    now: Instant,
}

impl Flood {
    fn of(message: &[u8], most: usize) -> Self {
        let stream = std::rc::Rc::new(std::cell::RefCell::new(Endless::saying(message, most)));
        let (now, mut scratch) = (Instant::now(), Scratch::new());
        let mut accepting = Accepting::new(Seen(stream.clone()), ServerHandshakeSettings::default(), None, now);
        while accepting.turn(&mut scratch, now).unwrap() != Turn::Over {
            accepting.answer_from(&[("disk", offer())]).unwrap();
        }
        let server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
        Self { server, stream, scratch, now }
    }

    /// A turn, which must say that more is left; and its answers. With how many bytes it read and wrote.
    #[track_caller]
    fn turn(&mut self) -> (usize, usize) {
        let counts = |stream: &Endless| (stream.read, stream.written);
        let (read, written) = counts(&self.stream.borrow());
        let turn = self.server.turn(&mut self.scratch, self.now);
        let (read_then, written_then) = counts(&self.stream.borrow());
        let mut answered = false;
        while let Some(event) = self.server.event() {
            let ServerEvent::Request { request, .. } = event else { continue };
            answered = true;
            match request.command.0 {
                READ => self.server.finish_read(request.id, vec![1; request.length as usize]).unwrap(),
                _ => self.server.finish(request.id).unwrap(),
            }
        }
        assert!(turn == Turn::Again || turn == Turn::Wait && answered, "{turn:?}");
        assert!(read_then.1 - read.1 <= CALLS && written_then.1 - written.1 <= CALLS);
        (read_then.0 - read.0, written_then.0 - written.0)
    }

    #[track_caller]
    fn keeps_to_its_share(&mut self, turns: usize) {
        let mut all = (0, 0);
        for _ in 0..turns {
            let (read, written) = self.turn();
            assert!(read <= SHARE && written <= SHARE, "a turn read {read} bytes and wrote {written}");
            all = (all.0 + read, all.1 + written);
        }
        assert!(all.0 > 0 && all.1 > 0, "nothing moved");
    }
}

#[test]
fn requests_without_end() {
    Flood::of(&request(FLUSH, 1, 0, 0).repeat(2000), usize::MAX).keeps_to_its_share(50);
}

#[test]
fn bytes_one_by_one() {
    Flood::of(&request(FLUSH, 1, 0, 0), 1).keeps_to_its_share(500);
}

#[test]
fn long_answers() {
    Flood::of(&request(READ, 1, 0, 8 << 20), usize::MAX).keeps_to_its_share(200);
}

#[test]
fn long_writes() {
    Flood::of(&[request(WRITE, 1, 0, 8 << 20), vec![7; 8 << 20]].concat(), usize::MAX).keeps_to_its_share(200);
}

#[test]
fn a_quiet_client_has_its_answers_beside_one_that_never_stops() {
    let mut flood = Flood::of(&request(FLUSH, 1, 0, 0).repeat(2000), usize::MAX);
    let mut quiet = One::open(ServerOptions::default());
    for cookie in 0..50 {
        quiet.raw.request(FLUSH, cookie, 0, 0);
        flood.turn();
        let [request] = quiet.requests().try_into().unwrap();
        quiet.server.finish(request.id).unwrap();
        flood.turn();
        assert_eq!(quiet.dones().len(), 1);
        assert_eq!(quiet.raw.simple_reply(), (0, cookie));
    }
}
