//! The server's side: a disk in memory, which answers in any order and takes its time.

use std::collections::HashMap;

use bytes::BytesMut;
use fastrand::Rng;
use nbd_driver_mio::nbd_proto::error::Error as Over;
use nbd_driver_mio::nbd_proto::handshake::Offer;
use nbd_driver_mio::nbd_proto::transmission::{Failure, ReadPart, Request, RequestId};
use nbd_driver_mio::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::{CommandType, ErrorValue};
use nbd_driver_mio::{Accepting, Error, Scratch, Server, ServerEvent, ServerOptions, Turn};

use crate::client::Ending;
use crate::faults::{NEVER, TO_CLIENT};
use crate::loop_rules::{Clock, Due};
use crate::model::{self, SIZE};
use crate::network::{End, Shared};

/// How the server's caller behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// How long it takes to answer, at most, in microseconds.
    pub(crate) thinks: u64,
    /// How many requests of 256 it fails.
    pub(crate) fails: u8,
    /// How many events it takes at a time.
    pub(crate) takes: usize,
}

enum Phase {
    Accepting(Box<Accepting<End>>),
    Server(Box<Server<End>>),
    Gone,
}

struct Asked {
    answer_at: u64,
    request: Request,
    payload: BytesMut,
}

pub(crate) struct ServerSide {
    phase: Phase,
    options: ServerOptions,
    habits: Habits,
    pub(crate) due: Due,
    pub(crate) disk: Vec<u8>,
    pub(crate) end: Option<Ending>,
    rng: Rng,
    offers: [(&'static str, Offer); 1],
    /// When the question of the handshake is answered.
    answer_at: Option<u64>,
    asked: Vec<Asked>,
    /// Requests that were told and have not had their end: how long their payload is, and where that of a read is.
    held: HashMap<RequestId, (usize, Option<*const u8>)>,
    pub(crate) failed: usize,
    pub(crate) unsent: usize,
    network: Shared,
    clock: Clock,
}

impl ServerSide {
    pub(crate) fn new(
        accepting: Accepting<End>,
        options: ServerOptions,
        habits: Habits,
        rng: Rng,
        network: Shared,
        clock: Clock,
    ) -> Self {
        let flags = TransmissionFlags::SEND_FLUSH | TransmissionFlags::SEND_WRITE_ZEROES;
        let offer = Offer::new(SIZE as u64, flags).with_context("base:allocation");
        Self {
            phase: Phase::Accepting(Box::new(accepting)),
            options,
            habits,
            due: Due { now: true, ..Due::default() },
            disk: vec![0; SIZE],
            end: None,
            rng,
            offers: [("disk", offer)],
            answer_at: None,
            asked: Vec::new(),
            held: HashMap::new(),
            failed: 0,
            unsent: 0,
            network,
            clock,
        }
    }

    /// Nobody comes.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Gone;
        self.due = Due::default();
        self.end = Some(Err("nobody came".to_owned()));
    }

    pub(crate) fn ready(&mut self, readable: bool, writable: bool) {
        match &mut self.phase {
            Phase::Accepting(accepting) => accepting.set_ready(readable, writable),
            Phase::Server(server) => server.set_ready(readable, writable),
            Phase::Gone => return,
        }
        self.due.now = self.end.is_none();
    }

    /// When its caller does something by itself.
    pub(crate) fn next_answer(&self) -> u64 {
        self.asked.iter().map(|asked| asked.answer_at).chain(self.answer_at).min().unwrap_or(NEVER)
    }

    /// Answers what is to be answered now.
    pub(crate) fn answer(&mut self) {
        let now = self.network.borrow().now;
        if self.answer_at.is_some_and(|at| at <= now) {
            self.answer_at = None;
            if let Phase::Accepting(accepting) = &mut self.phase {
                assert!(accepting.answer_from(&self.offers).unwrap());
                self.due.now = true;
            }
        }
        while let Some(at) = self.asked.iter().position(|asked| asked.answer_at <= now) {
            let Asked { request, payload, .. } = self.asked.swap_remove(at);
            if let Phase::Server(server) = &mut self.phase {
                self.due.now = true;
                if self.rng.u8(..) < self.habits.fails {
                    let failure = Failure { error: ErrorValue::EIO, message: "not today", offset: None };
                    server.fail(request.id, &failure).unwrap();
                    self.failed += 1;
                    continue;
                }
                let range = request.offset as usize..(request.offset + request.length) as usize;
                match request.command {
                    CommandType::READ => {
                        let buffer = self.disk[range].to_vec();
                        self.held.get_mut(&request.id).unwrap().1 = Some(buffer.as_ptr());
                        let half = buffer.len() / 2;
                        let hole = half > 0 && buffer[half..].iter().all(|byte| *byte == 0) && self.rng.bool();
                        if hole {
                            let parts = [ReadPart::Data(half as u64), ReadPart::Hole((buffer.len() - half) as u64)];
                            server.finish_read_with(request.id, buffer, &parts).unwrap();
                        } else if self.rng.bool() {
                            server.finish_read(request.id, buffer).unwrap();
                        } else {
                            // One that had room to spare, and is shared.
                            let shared = bytes::Bytes::from(buffer);
                            self.held.get_mut(&request.id).unwrap().1 = Some(shared.as_ptr());
                            server.finish_read(request.id, shared).unwrap();
                        }
                    }
                    CommandType::WRITE => {
                        self.disk[range].copy_from_slice(&payload);
                        if self.rng.bool() {
                            server.reuse(payload);
                        }
                        server.finish(request.id).unwrap();
                    }
                    CommandType::WRITE_ZEROES => {
                        self.disk[range].fill(0);
                        server.finish(request.id).unwrap();
                    }
                    CommandType::BLOCK_STATUS => {
                        let [context] = server.contexts(request.id) else { panic!("one context was selected") };
                        let extents = model::extents(request.offset, request.length);
                        let extents: Vec<_> =
                            extents.iter().map(|&(length, flags)| Descriptor { length, flags }).collect();
                        server.finish_status(request.id, &[(*context, &extents)]).unwrap();
                    }
                    _ => server.finish(request.id).unwrap(),
                }
            }
        }
    }

    pub(crate) fn turn(&mut self, scratch: &mut Scratch) {
        let micros = self.network.borrow().now;
        let now = self.clock.at(micros);
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Accepting(mut accepting) => match accepting.turn(scratch, now) {
                Ok(Turn::Over) => {
                    self.due.after(TO_CLIENT, Turn::Over, true, None, &self.network, self.clock);
                    match accepting.into_server(self.options).unwrap() {
                        Some(server) => {
                            self.phase = Phase::Server(Box::new(server));
                            self.due.now = true;
                        }
                        None => self.end = Some(Ok(())),
                    }
                }
                Ok(turn) => {
                    self.due.after(TO_CLIENT, turn, false, accepting.deadline(), &self.network, self.clock);
                    if accepting.question().is_some() && self.answer_at.is_none() {
                        self.answer_at = Some(micros + self.rng.u64(..=self.habits.thinks));
                    }
                    self.phase = Phase::Accepting(accepting);
                }
                Err(error) => {
                    let broken = matches!(&error, Error::Connection(over) if !matches!(over, Over::Ended(_)));
                    assert!(!broken, "the handshake was garbled: {error}");
                    self.due = Due::default();
                    self.answer_at = None;
                    self.end = Some(Err(error.to_string()));
                }
            },
            Phase::Server(mut server) => {
                let turn = server.turn(scratch, now);
                let most = if turn == Turn::Over { usize::MAX } else { self.habits.takes };
                let mut taken = 0;
                while taken < most {
                    let Some(event) = server.event() else { break };
                    taken += 1;
                    self.take(event, micros);
                }
                self.due.after(TO_CLIENT, turn, taken > 0, server.deadline(), &self.network, self.clock);
                // There may be more of them.
                self.due.now = taken == most;
                if turn == Turn::Over {
                    self.over(&server);
                }
                self.phase = Phase::Server(server);
            }
            Phase::Gone => {}
        }
    }

    fn take(&mut self, event: ServerEvent, now: u64) {
        match event {
            ServerEvent::Request { request, payload } => {
                let expected = if request.command == CommandType::WRITE { request.length } else { 0 };
                assert_eq!(payload.len() as u64, expected);
                let carries = matches!(request.command, CommandType::READ | CommandType::WRITE);
                let length = if carries { request.length as usize } else { 0 };
                assert!(self.held.insert(request.id, (length, None)).is_none(), "a name was given twice");
                self.assert_bounded();
                let answer_at = now + self.rng.u64(..=self.habits.thinks);
                self.asked.push(Asked { answer_at, request, payload });
            }
            ServerEvent::Done { id, buffer, sent } => {
                let (length, pointer) = self.held.remove(&id).expect("an end for nothing, or a second one");
                if let Some(pointer) = pointer {
                    assert!(buffer.as_ptr() == pointer && buffer.len() == length, "another buffer came back");
                }
                self.unsent += usize::from(!sent);
                let asked = self.asked.len();
                self.asked.retain(|asked| asked.request.id != id);
                assert!(!sent || asked == self.asked.len(), "an answer was sent that nobody gave");
            }
        }
    }

    /// The driver never holds more than it was allowed.
    fn assert_bounded(&self) {
        let held = self.held.values().filter(|(length, _)| *length > 0);
        let (count, bytes) = held.fold((0, 0), |(count, bytes), (length, _)| (count + 1, bytes + length));
        assert!(count <= 1 || bytes <= self.options.max_bytes, "{bytes} bytes are held");
        // As many are in flight, and as many may have events that were not taken.
        assert!(self.held.len() <= self.options.engine.max_in_flight + 256);
    }

    fn over(&mut self, server: &Server<End>) {
        assert!(self.held.is_empty(), "{} requests never ended", self.held.len());
        assert!(self.asked.is_empty());
        let end = server.end().unwrap();
        if let Err(error) = end {
            assert!(matches!(error, Over::Ended(_)), "the stream was garbled: {error}");
        }
        if end.is_ok() {
            assert_eq!(self.unsent, 0, "it ended in order, and has not sent all");
        }
        self.due = Due::default();
        self.end = Some(end.map_err(ToString::to_string));
    }

    pub(crate) fn describe(&self) -> String {
        let (held, asked, due) = (self.held.len(), self.asked.len(), self.due);
        format!("server: {held} held, {asked} to answer, end: {:?}, {due:?}", self.end)
    }
}
