//! A server of ours: one loop, one thread, a disk in memory, and as many connections as come.

use std::time::Instant;

use mio::net::UnixListener;
use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::{Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{Accepting, Buffer, Scratch, Server, ServerEvent, ServerOptions, Socket, Stream, Turn};

use crate::due::Due;

/// One event of each connection fits, so that each poll tells of all that is new.
pub(crate) const EVENTS: usize = 2048;

/// The token of what is listened on; those of connections are small.
const LISTENER: Token = Token(usize::MAX);

pub(crate) struct Site<S: Stream = Socket> {
    poll: Poll,
    listener: UnixListener,
    wrap: Box<dyn FnMut(usize, Socket) -> S + Send>,
    peers: Vec<Peer<S>>,
    due: Due,
    disk: Vec<u8>,
    /// Buffers of reads that have been answered, for reads to come.
    spare: Vec<Vec<u8>>,
    ended: usize,
}

enum Peer<S: Stream> {
    Accepting(Box<Accepting<S>>),
    Open(Box<Server<S>>),
    Over,
}

impl<S: Stream> Site<S> {
    /// A server of this disk, whose streams are made of sockets by `wrap`, from the number of the connection.
    pub(crate) fn new(
        mut listener: UnixListener,
        disk: Vec<u8>,
        wrap: impl FnMut(usize, Socket) -> S + Send + 'static,
    ) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        let (peers, spare, due) = (Vec::new(), Vec::new(), Due::default());
        Self { poll, listener, wrap: Box::new(wrap), peers, due, disk, spare, ended: 0 }
    }

    /// Serves this many connections to their end, which must be a good one. `after` sees each after each turn.
    pub(crate) fn serve(mut self, connections: usize, mut after: impl FnMut(usize, &Server<S>)) -> Vec<u8> {
        let (mut events, mut scratch) = (Events::with_capacity(EVENTS), Scratch::new());
        while self.ended < connections {
            let patience = (self.due.len() > 0).then_some(std::time::Duration::ZERO);
            if let Err(error) = self.poll.poll(&mut events, patience) {
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
                continue;
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                    continue;
                }
                let Token(index) = event.token();
                match &mut self.peers[index] {
                    Peer::Accepting(accepting) => accepting.ready(event),
                    Peer::Open(server) => server.ready(event),
                    Peer::Over => continue,
                }
                self.due.push(index);
            }
            for _ in 0..self.due.len() {
                let index = self.due.pop().unwrap();
                self.turn(index, &mut scratch, &mut after);
            }
        }
        self.disk
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let index = self.peers.len();
            let stream = (self.wrap)(index, Socket::from_fd(stream).unwrap());
            let mut accepting = Accepting::new(stream, ServerHandshakeSettings::default(), None, Instant::now());
            self.poll.registry().register(&mut accepting, Token(index), Interest::READABLE).unwrap();
            self.peers.push(Peer::Accepting(Box::new(accepting)));
            self.due.push(index);
        }
    }

    fn turn(&mut self, index: usize, scratch: &mut Scratch, after: &mut impl FnMut(usize, &Server<S>)) {
        match &mut self.peers[index] {
            Peer::Accepting(accepting) => {
                let turn = accepting.turn(scratch, Instant::now()).unwrap();
                let offers = [("", Offer::new(self.disk.len() as u64, TransmissionFlags::SEND_FLUSH))];
                if accepting.answer_from(&offers).unwrap() || turn == Turn::Again {
                    self.due.push(index);
                } else if turn == Turn::Over {
                    let Peer::Accepting(accepting) = std::mem::replace(&mut self.peers[index], Peer::Over) else {
                        return;
                    };
                    let server = accepting.into_server(ServerOptions::default()).unwrap();
                    self.peers[index] = Peer::Open(Box::new(server.expect("a client that goes on to requests")));
                    // Requests may have come with the end of the handshake.
                    self.due.push(index);
                }
            }
            Peer::Open(server) => {
                // The second one sends what the first one brought about.
                let mut answered = false;
                let mut turn = Turn::Wait;
                for _ in 0..2 {
                    turn = server.turn(scratch, Instant::now());
                    answered = answer(server, &mut self.disk, &mut self.spare);
                    after(index, server);
                    if !answered {
                        break;
                    }
                }
                if turn == Turn::Over {
                    assert!(matches!(server.end(), Some(Ok(()))), "connection {index}: {:?}", server.end());
                    self.peers[index] = Peer::Over;
                    self.ended += 1;
                } else if answered || turn == Turn::Again {
                    self.due.push(index);
                }
            }
            Peer::Over => {}
        }
    }
}

/// Does what is requested. Whether there is anything to send by that.
pub(crate) fn answer<S: Stream>(server: &mut Server<S>, disk: &mut [u8], spare: &mut Vec<Vec<u8>>) -> bool {
    let mut answered = false;
    while let Some(event) = server.event() {
        match event {
            ServerEvent::Request { request, payload } => {
                answered = true;
                let range = request.offset as usize..(request.offset + request.length) as usize;
                match request.command {
                    CommandType::READ => {
                        let mut buffer = spare.pop().unwrap_or_default();
                        buffer.clear();
                        buffer.extend_from_slice(&disk[range]);
                        server.finish_read(request.id, buffer).unwrap();
                    }
                    CommandType::WRITE => {
                        disk[range].copy_from_slice(&payload);
                        server.reuse(payload);
                        server.finish(request.id).unwrap();
                    }
                    _ => server.finish(request.id).unwrap(),
                }
            }
            ServerEvent::Done { buffer: Buffer::Vec(buffer), .. } if buffer.capacity() > 0 => spare.push(buffer),
            ServerEvent::Done { .. } => {}
        }
    }
    answered
}
