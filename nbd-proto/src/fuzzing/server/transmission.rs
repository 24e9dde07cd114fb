//! The transmission phase, from a server's side.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use super::disk::Disk;
use crate::error::Error;
use crate::limits::MIN_INPUT_BUFFER;
use crate::transmission::{Failure, Request, RequestId, Segment, Server, ServerEvent};
use crate::wire::chunk::Descriptor;
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{CommandType, ErrorValue};

const ERRORS: [ErrorValue; 8] = [
    ErrorValue::EIO,
    ErrorValue::EPERM,
    ErrorValue::ENOMEM,
    ErrorValue::ENOSPC,
    ErrorValue::ENOTSUP,
    ErrorValue::ESHUTDOWN,
    ErrorValue(0),
    ErrorValue(0x7777),
];

/// When a caller answers by itself, and how.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuzzing) struct Habits {
    /// How many requests it leaves without an answer before it answers one.
    pub(in crate::fuzzing) lets_wait: usize,
    /// Whether it answers the last first.
    pub(in crate::fuzzing) last_first: bool,
    /// A bit for each of eight requests, over and over: those that fail.
    pub(in crate::fuzzing) fails: u8,
    /// A bit for each of eight requests, over and over: writes whose payload it does not take.
    pub(in crate::fuzzing) declines: u8,
    /// Behind how many requests it is shut down; 0 for never.
    pub(in crate::fuzzing) shuts_down: usize,
}

#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct Arrived {
    pub(in crate::fuzzing) request: Request,
    /// What a `WRITE` brought, as far as it has come.
    pub(in crate::fuzzing) payload: Vec<u8>,
    pub(in crate::fuzzing) answer: Option<Answer>,
    /// Whether the payload of a `WRITE` was consented to.
    consented: bool,
    /// Whether the answer went out, once that is known.
    pub(in crate::fuzzing) sent: Option<bool>,
}

#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) enum Answer {
    Success,
    Data(Vec<u8>),
    Extents(Vec<Descriptor>),
    Error(ErrorValue),
}

/// What the engine told, apart from payload.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) enum Told {
    Request(RequestId),
    Received(RequestId),
    Done(RequestId, bool),
    Disconnect,
}

pub(in crate::fuzzing) struct Transmission {
    pub(in crate::fuzzing) server: Server,
    pub(in crate::fuzzing) disk: Disk,
    limit: usize,
    habits: Option<Habits>,
    /// All requests that the engine has told of, in that order.
    pub(in crate::fuzzing) arrived: Vec<Arrived>,
    in_flight: BTreeMap<RequestId, usize>,
    /// Those that can be answered now.
    due: Vec<RequestId>,
    pub(in crate::fuzzing) events: Vec<Told>,
    disconnected: bool,
    /// What has arrived and is not consumed.
    pending: Vec<u8>,
    /// What a caller with habits has sent.
    pub(in crate::fuzzing) out: Vec<u8>,
    pub(in crate::fuzzing) over: Option<Error>,
}

impl Transmission {
    pub(in crate::fuzzing) fn new(server: Server, disk: Disk, limit: usize, habits: Option<Habits>) -> Self {
        Self {
            server,
            disk,
            limit,
            habits,
            arrived: Vec::new(),
            in_flight: BTreeMap::new(),
            due: Vec::new(),
            events: Vec::new(),
            disconnected: false,
            pending: Vec::new(),
            out: Vec::new(),
            over: None,
        }
    }

    /// Takes what comes from the network; in place where it belongs, if `land` says so.
    pub(in crate::fuzzing) fn feed(&mut self, mut piece: &[u8], land: bool) {
        while land && self.pending.is_empty() && !piece.is_empty() {
            let Some(landing) = self.server.landing() else { break };
            assert!(!landing.range.is_empty());
            let (front, rest) = piece.split_at(landing.range.len().min(piece.len()));
            let range = landing.range.start..landing.range.start + front.len();
            self.server.landed(front.len());
            self.take_payload(landing.owner, range, front);
            self.drain();
            piece = rest;
        }
        self.pending.extend_from_slice(piece);
        self.drain();
    }

    /// Does all that can be done with what has arrived: an answer that was sent may have made room for it.
    pub(in crate::fuzzing) fn drain(&mut self) {
        let input = core::mem::take(&mut self.pending);
        let mut rest = &input[..];
        loop {
            let wanted = self.server.wants_read();
            match self.server.input(rest) {
                Ok(advance) => {
                    assert!(advance.consumed <= rest.len(), "more was consumed than was there");
                    assert!(wanted || advance.consumed == 0, "consumed although nothing was wanted");
                    let idle = advance.consumed == 0 && advance.event.is_none();
                    rest = &rest[advance.consumed..];
                    if let Some(event) = advance.event {
                        self.see(event);
                    }
                    if !self.act() && idle {
                        break;
                    }
                }
                Err(error) => {
                    assert!(self.over.as_ref().is_none_or(|first| *first == error), "another error than before");
                    self.over = Some(error);
                    break;
                }
            }
        }
        let stuck = self.over.is_none() && self.server.wants_read() && rest.len() >= MIN_INPUT_BUFFER;
        assert!(!stuck, "a full buffer is left untouched");
        rest.clone_into(&mut self.pending);
        assert_eq!(self.server.over(), self.over.as_ref());
    }

    fn see(&mut self, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Request(request) => {
                self.check(&request);
                let known = self.in_flight.insert(request.id, self.arrived.len());
                assert!(known.is_none(), "{:?} names two requests in flight", request.id);
                assert!(self.server.in_flight() <= self.limit, "more requests in flight than were to be taken");
                assert!(self.in_flight.len() <= self.server.in_flight());
                let number = self.arrived.len();
                let (payload, consented) = (Vec::new(), false);
                self.arrived.push(Arrived { request, payload, answer: None, consented, sent: None });
                self.events.push(Told::Request(request.id));
                if request.command == CommandType::WRITE {
                    let declines = self.habits.is_some_and(|habits| habits.declines >> (number % 8) & 1 != 0);
                    if declines {
                        self.fail(request.id, ErrorValue::ENOMEM);
                    } else {
                        assert_eq!(self.server.receive(request.id), Ok(()));
                        self.arrived[number].consented = true;
                    }
                } else {
                    self.due.push(request.id);
                }
            }
            ServerEvent::Data { id, range, bytes } => self.take_payload(id, range, bytes),
            ServerEvent::Received { id } => {
                let arrived = self.find(id);
                assert!(arrived.consented && arrived.payload.len() as u64 == arrived.request.length);
                self.events.push(Told::Received(id));
                self.due.push(id);
            }
            ServerEvent::Done { id, sent } => {
                assert!(sent || self.server.over().is_some(), "no answer to {id:?}, and the connection goes on");
                let arrived = self.find(id);
                assert!(!sent || arrived.answer.is_some(), "an answer was sent that nobody gave");
                arrived.sent = Some(sent);
                self.in_flight.remove(&id);
                self.due.retain(|due| *due != id);
                self.events.push(Told::Done(id, sent));
            }
            ServerEvent::Disconnect => {
                assert!(!self.disconnected, "two disconnects");
                self.disconnected = true;
                self.events.push(Told::Disconnect);
            }
        }
    }

    /// A request that the engine tells of keeps all rules.
    fn check(&self, request: &Request) {
        let Request { command, flags, offset, length, .. } = *request;
        let facts = self.server.negotiated();
        assert!(!self.disconnected, "a request behind a disconnect");
        assert!(!flags.contains(CommandFlags::PAYLOAD_LEN));
        assert_eq!(length == 0, command == CommandType::FLUSH, "{request:?}");
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.disk.size), "{request:?} is out of bounds");
        assert_eq!((offset | length) % u64::from(facts.minimum_block()), 0, "{request:?} is not aligned");
        let moves = matches!(command, CommandType::READ | CommandType::WRITE);
        assert!(!moves || length <= facts.maximum_payload().into(), "{request:?} is too long");
        let changes = matches!(command, CommandType::WRITE | CommandType::TRIM | CommandType::WRITE_ZEROES);
        assert!(!changes || !facts.info.flags.contains(TransmissionFlags::READ_ONLY), "{request:?} is not for reading");
        let asks = command == CommandType::BLOCK_STATUS;
        assert_eq!(asks, !self.server.contexts(request.id).is_empty(), "contexts of {request:?}");
    }

    fn find(&mut self, id: RequestId) -> &mut Arrived {
        let Some(number) = self.in_flight.get(&id) else {
            unreachable!("an event for {id:?}, which is not in flight");
        };
        &mut self.arrived[*number]
    }

    fn take_payload(&mut self, id: RequestId, range: Range<usize>, bytes: &[u8]) {
        let arrived = self.find(id);
        assert!(arrived.consented && arrived.answer.is_none(), "payload that nobody has consented to");
        assert_eq!((range.start, range.len()), (arrived.payload.len(), bytes.len()), "payload with a gap");
        assert!(range.end as u64 <= arrived.request.length, "payload behind the end");
        arrived.payload.extend_from_slice(bytes);
    }

    /// Does what the caller's habits say. Whether anything was done.
    fn act(&mut self) -> bool {
        let Some(habits) = self.habits else { return false };
        if self.server.over().is_some() {
            return false;
        }
        if habits.shuts_down > 0 && self.arrived.len() == habits.shuts_down {
            self.server.begin_shutdown();
        }
        let mut acted = self.flush();
        // Until nothing is left to be done now: how the input was cut must not show.
        while !self.due.is_empty() && (self.due.len() > habits.lets_wait || self.is_held_up()) {
            self.serve_one(habits);
            self.flush();
            acted = true;
        }
        acted
    }

    fn is_held_up(&self) -> bool {
        !self.server.wants_read() && self.server.landing().is_none()
    }

    fn serve_one(&mut self, habits: Habits) {
        let which = if habits.last_first { self.due.len() - 1 } else { 0 };
        let number = self.in_flight[&self.due[which]];
        let failure = habits.fails >> (number % 8) & 1 != 0;
        self.serve(which, failure.then_some(ERRORS[number / 8 % ERRORS.len()]));
    }

    fn flush(&mut self) -> bool {
        let bytes = self.take_output(usize::MAX);
        self.out.extend_from_slice(&bytes);
        !bytes.is_empty()
    }

    /// How many requests can be answered now.
    pub(in crate::fuzzing) fn due(&self) -> usize {
        self.due.len()
    }

    /// Answers one of the requests that are due.
    pub(in crate::fuzzing) fn serve(&mut self, which: usize, failure: Option<ErrorValue>) {
        let id = self.due.remove(which % self.due.len());
        if let Some(error) = failure {
            return self.fail(id, error);
        }
        let number = self.in_flight[&id];
        let arrived = &self.arrived[number];
        let Request { command, offset, length, .. } = arrived.request;
        let (taken, answer) = match command {
            CommandType::READ => {
                let data = self.disk.read(offset, length);
                let parts = self.disk.read_parts(offset, length);
                (self.server.finish_read(id, &parts), Answer::Data(data))
            }
            CommandType::BLOCK_STATUS => {
                let extents = self.disk.extents(offset, self.server.negotiated().minimum_block());
                let contexts = self.server.contexts(id).to_vec();
                let answers: Vec<_> = contexts.iter().map(|context| (*context, &extents[..])).collect();
                (self.server.finish_status(id, &answers), Answer::Extents(extents))
            }
            CommandType::WRITE => {
                self.disk.write(offset, &arrived.payload);
                (self.server.finish(id), Answer::Success)
            }
            CommandType::TRIM | CommandType::WRITE_ZEROES => {
                self.disk.zero(offset, length);
                (self.server.finish(id), Answer::Success)
            }
            _ => (self.server.finish(id), Answer::Success),
        };
        assert_eq!(taken, Ok(()), "an answer to {command} is refused");
        assert!(self.server.finish(id).is_err(), "a second answer is taken");
        self.arrived[number].answer = Some(answer);
    }

    fn fail(&mut self, id: RequestId, error: ErrorValue) {
        let arrived = self.find(id);
        let Request { offset, length, .. } = arrived.request;
        arrived.answer = Some(Answer::Error(error));
        let at = (error == ErrorValue::EIO).then_some(offset.wrapping_add(length / 2));
        let failed = self.server.fail(id, &Failure { error, message: "the backend is unwell", offset: at });
        assert_eq!(failed, Ok(()), "a failure is refused");
    }

    /// Takes up to `most` bytes that are to go out.
    pub(in crate::fuzzing) fn take_output(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.server.outbound() {
            match segment {
                Segment::Framing(framing) => bytes.extend_from_slice(framing),
                Segment::Payload { owner, range } => {
                    let arrived = self.in_flight.get(&owner).map(|number| &self.arrived[*number]);
                    let Some(Answer::Data(data)) = arrived.and_then(|arrived| arrived.answer.as_ref()) else {
                        unreachable!("content of {owner:?} is asked for, which has none");
                    };
                    bytes.extend_from_slice(&data[range]);
                }
            }
            if bytes.len() >= most {
                break;
            }
        }
        bytes.truncate(most);
        self.server.sent(bytes.len());
        bytes
    }

    /// All that can be answered is, then the stream ends.
    pub(in crate::fuzzing) fn eof(&mut self) {
        while let (Some(habits), false) = (self.habits, self.due.is_empty() || self.over.is_some()) {
            self.serve_one(habits);
            self.drain();
        }
        self.server.eof();
        self.drain();
        if self.over.is_none() {
            // After a disconnect the end of the stream means nothing, and what is to be sent still is.
            assert!(self.server.is_disconnecting());
            if self.habits.is_some() {
                assert!(self.server.is_finished() && self.in_flight.is_empty(), "a disconnect is not finished");
            }
        } else {
            assert!(self.in_flight.is_empty(), "a request without its Done");
            assert!(!self.server.wants_write() && !self.server.wants_read() && self.server.landing().is_none());
            assert_eq!(self.server.in_flight(), 0);
        }
    }
}
