//! Client and server connection of the driver, in one loop.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{
    Accepting, Buffer, Client, ClientOptions, ConnectTimeouts, Connecting, Scratch, Server, ServerEvent, ServerOptions,
    Socket, Turn,
};

use crate::{Both, LENGTH, held};

const CLIENT: Token = Token(0);
const SERVER: Token = Token(1);
const DISK: usize = 1 << 20;

pub(crate) struct Pair {
    poll: Poll,
    events: Events,
    scratch: Scratch,
    pub(crate) client: Box<Client>,
    pub(crate) server: Box<Server>,
    disk: Vec<u8>,
    /// Buffers of reads that have been answered.
    spare: Vec<Vec<u8>>,
}

/// What the connections own after so many reads at once, and as many writes.
pub(crate) fn idle(depth: usize, shrinks: bool) -> Both {
    let mut pair = Pair::new();
    for at in 0..depth {
        pair.client.read(vec![0; LENGTH], (at * LENGTH) as u64).unwrap();
    }
    pair.finish(&mut drop);
    for at in 0..depth {
        pair.client.write(vec![0; LENGTH], (at * LENGTH) as u64).unwrap();
    }
    pair.finish(&mut drop);
    if shrinks {
        pair.client.shrink();
        pair.server.shrink();
    }
    Both { client: held(pair.client), server: held(pair.server) }
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (above, below) = UnixStream::pair().unwrap();
        let (mut poll, mut events, mut scratch) = (Poll::new().unwrap(), Events::with_capacity(8), Scratch::new());
        let (above, below) = (Socket::from_fd(above).unwrap(), Socket::from_fd(below).unwrap());
        let now = Instant::now();
        let mut connecting = Connecting::new(above, ConnectSettings::new(""), ConnectTimeouts::default(), now);
        let mut accepting = Accepting::new(below, ServerHandshakeSettings::default(), None, now);
        poll.registry().register(&mut connecting, CLIENT, Interest::READABLE).unwrap();
        poll.registry().register(&mut accepting, SERVER, Interest::READABLE).unwrap();
        let offers = [("", Offer::new(DISK as u64, TransmissionFlags::SEND_FLUSH))];
        let (mut ours, mut theirs) = (Turn::Wait, Turn::Wait);
        loop {
            if ours != Turn::Over {
                ours = connecting.turn(&mut scratch, now).unwrap();
            }
            if theirs != Turn::Over {
                theirs = accepting.turn(&mut scratch, now).unwrap();
            }
            let answered = accepting.answer_from(&offers).unwrap();
            if ours == Turn::Over && theirs == Turn::Over {
                break;
            }
            if answered || ours == Turn::Again || theirs == Turn::Again {
                continue;
            }
            poll.poll(&mut events, None).unwrap();
            for event in &events {
                match event.token() {
                    CLIENT => connecting.ready(event),
                    _ => accepting.ready(event),
                }
            }
        }
        let client = Box::new(connecting.into_client(ClientOptions::default()).unwrap());
        let server = Box::new(accepting.into_server(ServerOptions::default()).unwrap().unwrap());
        Self { poll, events, scratch, client, server, disk: vec![7; DISK], spare: Vec::new() }
    }

    /// Waits for the end of all requests, and gives their buffers back.
    pub(crate) fn finish(&mut self, back: &mut impl FnMut(Buffer)) {
        while self.client.in_flight() > 0 {
            let now = Instant::now();
            let ours = self.client.turn(&mut self.scratch, now);
            while let Some(done) = self.client.completion() {
                done.result.unwrap();
                back(done.buffer);
            }
            let theirs = self.server.turn(&mut self.scratch, now);
            let answered = self.serve();
            if self.client.in_flight() > 0 && !answered && ours == Turn::Wait && theirs == Turn::Wait {
                self.poll.poll(&mut self.events, None).unwrap();
            }
            for event in &self.events {
                match event.token() {
                    CLIENT => self.client.ready(event),
                    _ => self.server.ready(event),
                }
            }
        }
        // The last answer's own end.
        let _ = self.server.turn(&mut self.scratch, Instant::now());
        self.serve();
    }

    fn serve(&mut self) -> bool {
        let mut answered = false;
        while let Some(event) = self.server.event() {
            match event {
                ServerEvent::Request { request, payload } => {
                    answered = true;
                    let range = request.offset as usize..(request.offset + request.length) as usize;
                    if request.command == CommandType::WRITE {
                        self.disk[range].copy_from_slice(&payload);
                        self.server.reuse(payload);
                        self.server.finish(request.id).unwrap();
                    } else {
                        let mut buffer = self.spare.pop().unwrap_or_default();
                        buffer.clear();
                        buffer.extend_from_slice(&self.disk[range]);
                        self.server.finish_read(request.id, buffer).unwrap();
                    }
                }
                ServerEvent::Done { buffer: Buffer::Vec(buffer), .. } if buffer.capacity() > 0 => {
                    self.spare.push(buffer);
                }
                ServerEvent::Done { .. } => {}
            }
        }
        answered
    }
}
