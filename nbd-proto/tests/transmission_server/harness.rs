//! A server engine with buffers around it, fed with octets as clients send them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nbd_proto::error::{Error, Refused};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ReadPart, Request, RequestId, Segment, Server, ServerEvent};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, ErrorValue};

use super::client::request;
use super::setup::{STYLES, Setup};

/// How bytes reach the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// How many at a time, at most.
    pub(crate) piece: usize,
    /// Whether payload lands in its buffer wherever that is possible. Else it is lent.
    pub(crate) lands: bool,
}

/// All at once, byte by byte and in odd pieces, with payload lent and landing.
pub(crate) const WAYS: [Way; 6] = [
    Way { piece: usize::MAX, lands: false },
    Way { piece: usize::MAX, lands: true },
    Way { piece: 1, lands: false },
    Way { piece: 1, lands: true },
    Way { piece: 7, lands: false },
    Way { piece: 7, lands: true },
];

/// The first of them: all at once, and lent.
pub(crate) const WHOLE: Way = WAYS[0];

/// An event that owns what it tells. Requests are numbered as they come, and adjacent data is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Request(usize, CommandType),
    Data(usize, std::ops::Range<usize>),
    Received(usize),
    Done(usize, bool),
    Disconnect,
}

/// What a buffer of a write holds before anything came.
pub(crate) const UNTOUCHED: u8 = 0xa5;

/// The byte of the export at this place, never [`UNTOUCHED`].
pub(crate) fn pattern(at: u64) -> u8 {
    (at % 97) as u8
}

pub(crate) fn patterns(offset: u64, length: u64) -> Vec<u8> {
    (offset..offset + length).map(pattern).collect()
}

/// An engine, the buffers of its requests, and what has come of them.
pub(crate) struct Link {
    pub(crate) server: Server,
    pub(crate) style: ReplyStyle,
    /// Whether each `WRITE` is consented to at once.
    pub(crate) consents: bool,
    /// Called with each event that asks for something, at once.
    pub(crate) caller: Option<fn(&mut Self, &Seen)>,
    /// All requests that the caller was told of, as they came.
    pub(crate) requests: Vec<Request>,
    pub(crate) buffers: Vec<Vec<u8>>,
    pub(crate) error: Option<Error>,
    /// What has arrived and is not consumed.
    pub(crate) pending: Vec<u8>,
    way: Way,
    events: Vec<Seen>,
    /// Whether the request of this number has had its `Done`.
    done: Vec<bool>,
}

impl Link {
    pub(crate) fn new(setup: &Setup, way: Way) -> Self {
        Self {
            server: setup.server(),
            style: setup.style,
            consents: true,
            caller: None,
            requests: Vec::new(),
            buffers: Vec::new(),
            error: None,
            pending: Vec::new(),
            way,
            events: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Hands bytes of the client in, cut as the way says.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.way.piece) {
            self.pending.extend_from_slice(piece);
            self.poll();
        }
    }

    /// Hands a request without flags in; a `WRITE` with its payload.
    pub(crate) fn ask(&mut self, cookie: u64, command: CommandType, offset: u64, length: u64) {
        self.ask_with(cookie, command, CommandFlags::empty(), offset, length);
    }

    /// The same, with flags.
    pub(crate) fn ask_with(&mut self, cookie: u64, command: CommandType, flags: CommandFlags, at: u64, length: u64) {
        let mut bytes = request(self.style, cookie, command, flags, at, length);
        if command == CommandType::WRITE {
            bytes.extend(patterns(0, length));
        }
        self.feed(&bytes);
    }

    /// Does all that can be done with what has arrived.
    pub(crate) fn poll(&mut self) {
        let input = std::mem::take(&mut self.pending);
        let mut rest = &input[..];
        for turn in 0.. {
            assert!(turn <= 2 * input.len() + 100_000, "the engine turns in circles");
            let landed = self.land(rest);
            rest = &rest[landed..];
            match self.server.input(rest) {
                Ok(advance) => {
                    let idle = advance.consumed == 0 && advance.event.is_none() && landed == 0;
                    rest = &rest[advance.consumed..];
                    if let Some(event) = advance.event {
                        self.see(event);
                        self.call();
                    }
                    if idle {
                        break;
                    }
                }
                Err(error) => {
                    assert!(self.error.as_ref().is_none_or(|first| *first == error), "another error than before");
                    assert!(self.done.iter().all(|done| *done), "the error came before the last Done");
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.pending = rest.to_vec();
    }

    fn call(&mut self) {
        let Some(caller) = self.caller else { return };
        if let Some(last @ (Seen::Request(..) | Seen::Received(_))) = self.events.last().cloned() {
            caller(self, &last);
        }
    }

    /// Copies the front of `bytes` to where it belongs, and returns how many.
    fn land(&mut self, bytes: &[u8]) -> usize {
        let Some(landing) = self.server.landing() else { return 0 };
        let count = bytes.len().min(landing.range.len());
        if !self.way.lands || count == 0 {
            return 0;
        }
        let (number, range) = (self.number(landing.owner), landing.range.start..landing.range.start + count);
        self.buffers[number][range.clone()].copy_from_slice(&bytes[..count]);
        self.server.landed(count);
        self.push_data(number, range);
        count
    }

    fn push_data(&mut self, number: usize, range: std::ops::Range<usize>) {
        match self.events.last_mut() {
            Some(Seen::Data(last, joined)) if *last == number && joined.end == range.start => joined.end = range.end,
            _ => self.events.push(Seen::Data(number, range)),
        }
    }

    /// The number of a request that has not had its `Done`.
    fn number(&self, id: RequestId) -> usize {
        let open = |(number, request): &(usize, &Request)| request.id == id && !self.done[*number];
        self.requests.iter().enumerate().find(open).expect("a request in flight").0
    }

    fn see(&mut self, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Request(request) => {
                let Request { id, command, offset, length, .. } = request;
                let twins = self.requests.iter().zip(&self.done).filter(|(open, done)| open.id == id && !**done);
                assert_eq!(twins.count(), 0, "{id:?} names two requests in flight");
                self.events.push(Seen::Request(self.requests.len(), command));
                self.buffers.push(match command {
                    CommandType::READ => patterns(offset, length),
                    CommandType::WRITE => vec![UNTOUCHED; length as usize],
                    _ => Vec::new(),
                });
                self.requests.push(request);
                self.done.push(false);
                if self.consents && command == CommandType::WRITE {
                    self.server.receive(id).unwrap();
                }
            }
            ServerEvent::Data { id, range, bytes } => {
                let number = self.number(id);
                self.buffers[number][range.clone()].copy_from_slice(bytes);
                self.push_data(number, range);
            }
            ServerEvent::Received { id } => self.events.push(Seen::Received(self.number(id))),
            ServerEvent::Done { id, sent } => {
                let number = self.number(id);
                self.done[number] = true;
                self.events.push(Seen::Done(number, sent));
            }
            ServerEvent::Disconnect => self.events.push(Seen::Disconnect),
        }
    }

    /// What was seen since the last look.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn id(&self, number: usize) -> RequestId {
        self.requests[number].id
    }

    pub(crate) fn finish(&mut self, number: usize) -> Result<(), Refused> {
        self.server.finish(self.id(number))
    }

    pub(crate) fn finish_read(&mut self, number: usize, parts: &[ReadPart]) -> Result<(), Refused> {
        self.server.finish_read(self.id(number), parts)
    }

    pub(crate) fn finish_status(&mut self, number: usize, told: &[(u32, &[Descriptor])]) -> Result<(), Refused> {
        let told: Vec<_> = told.iter().map(|(context, extents)| (ContextId(*context), *extents)).collect();
        self.server.finish_status(self.id(number), &told)
    }

    pub(crate) fn fail(&mut self, number: usize, error: ErrorValue) -> Result<(), Refused> {
        self.server.fail(self.id(number), &Failure { error, message: "", offset: None })
    }

    /// All that is to be sent, as one stream.
    pub(crate) fn outbound(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.server.outbound() {
            match segment {
                Segment::Framing(framing) => bytes.extend_from_slice(framing),
                Segment::Payload { owner, range } => bytes.extend_from_slice(&self.buffers[self.number(owner)][range]),
            }
        }
        assert_eq!(self.server.wants_write(), !bytes.is_empty());
        bytes
    }

    /// Sends at most `count` bytes, looks for what is due by that, and returns them.
    pub(crate) fn send(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = self.outbound();
        bytes.truncate(count);
        self.server.sent(bytes.len());
        self.poll();
        bytes
    }

    /// Sends all there is, also what only comes by sending, and returns it.
    pub(crate) fn send_all(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            let bytes = self.send(usize::MAX);
            if bytes.is_empty() {
                return sent;
            }
            sent.extend(bytes);
        }
    }

    /// The stream ends.
    pub(crate) fn eof(&mut self) -> Error {
        self.server.eof();
        self.poll();
        self.error.clone().expect("the connection is over")
    }
}

/// Plays one scene in every way that bytes can come.
#[track_caller]
pub(crate) fn each_way(setup: &Setup, scene: impl Fn(&mut Link)) {
    for way in WAYS {
        let outcome = catch_unwind(AssertUnwindSafe(|| scene(&mut Link::new(setup, way))));
        assert!(outcome.is_ok(), "with {} replies, {way:?}", setup.style);
    }
}

/// Plays one scene in every style, and every way.
#[track_caller]
pub(crate) fn each_style(scene: impl Fn(&mut Link)) {
    for style in STYLES {
        each_way(&Setup::new(style), &scene);
    }
}
