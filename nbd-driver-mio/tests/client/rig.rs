//! A client of the driver under test, seen from close by, and the other end of its connection, both in one thread.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::{Client, ClientOptions, Completion, ConnectTimeouts, Connecting, Socket, Turn};
use nbd_testkit::{PATIENCE, oldstyle_greeting};

use crate::driver::Loop;
use crate::peer::{ALL, Peer};
use crate::support::MIB;

pub(crate) struct Rig {
    pub(crate) event_loop: Loop,
    pub(crate) client: Client,
}

impl Rig {
    /// A client of an export of 1 MiB, and its server. What they send each other has to fit into the socket's buffers
    /// where nobody reads it yet.
    pub(crate) fn new(options: ClientOptions) -> (Self, Peer) {
        let (client, server) = UnixStream::pair().unwrap();
        Self::over(client, server, options)
    }

    pub(crate) fn over(client: UnixStream, server: UnixStream, options: ClientOptions) -> (Self, Peer) {
        let mut peer = peer(server);
        peer.0.write_all(&oldstyle_greeting(MIB, ALL.into())).unwrap();
        let mut event_loop = Loop::new();
        let mut connecting = connecting(client);
        event_loop.negotiate(&mut connecting).unwrap();
        (Self { event_loop, client: connecting.into_client(options).unwrap() }, peer)
    }

    pub(crate) fn turn(&mut self) -> Turn {
        self.turn_at(Instant::now())
    }

    pub(crate) fn turn_at(&mut self, now: Instant) -> Turn {
        self.client.turn(&mut self.event_loop.scratch, now)
    }

    /// Waits for an event.
    pub(crate) fn wait(&mut self) {
        self.event_loop.wait(None, |event| self.client.ready(event));
    }

    /// Turns until so many completions are there, and takes them.
    pub(crate) fn completions(&mut self, count: usize) -> Vec<Completion> {
        let mut taken = Vec::new();
        loop {
            let turn = self.turn();
            taken.extend(std::iter::from_fn(|| self.client.completion()));
            match turn {
                _ if taken.len() >= count => return taken,
                Turn::Again => {}
                Turn::Wait => self.wait(),
                Turn::Over => panic!("over: {:?}", self.client.end()),
            }
        }
    }

    /// Turns until the connection is over, and takes what is left.
    pub(crate) fn run_to_end(&mut self) -> Vec<Completion> {
        loop {
            match self.turn() {
                Turn::Over => return std::iter::from_fn(|| self.client.completion()).collect(),
                Turn::Again => {}
                Turn::Wait => self.wait(),
            }
        }
    }
}

/// An event of another connection, which can be read and written.
pub(crate) fn event_of_another(ready: impl FnMut(&Event)) {
    let (other, mut event_loop) = (UnixStream::pair().unwrap(), Loop::new());
    (&other.1).write_all(b"something").unwrap();
    let (fd, both) = (other.0.as_raw_fd(), Interest::READABLE | Interest::WRITABLE);
    event_loop.poll.registry().register(&mut SourceFd(&fd), Token(0), both).unwrap();
    event_loop.wait(None, ready);
}

/// The server's side of a connection.
pub(crate) fn peer(socket: UnixStream) -> Peer {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    Peer(socket)
}

pub(crate) fn connecting(socket: UnixStream) -> Connecting {
    let socket = Socket::from_fd(socket).unwrap();
    Connecting::new(socket, ConnectSettings::new(""), ConnectTimeouts::default(), Instant::now())
}
