//! A server connection in its transmission phase.

mod event;
mod options;
mod transfer;

pub use event::{RefusedAnswer, ServerEvent};
pub use options::ServerOptions;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use nbd_proto::error::{Error as Over, Refused};
use nbd_proto::handshake::{Accepted, Negotiated};
use nbd_proto::observe::Observer;
use nbd_proto::transmission::{self, Failure, ReadPart, Request, RequestId};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::{CommandType, ContextId};

use crate::buffer::Buffer;
use crate::channel::{BOTH, Channel};
use crate::error::Seconds;
use crate::scratch::{Rest, Scratch};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::table::Table;
use crate::turn::Turn;

/// A server connection: tells what the client requests, and takes the answers.
///
/// ```text
///   turn ──▶ event(): Request ──▶ caller ──▶ finish, finish_read, finish_status, fail ──▶ turn ──▶ event(): Done
///
///            DISC came, or begin_shutdown, and all is answered
///   Open ───────────────────────────────────────────────────────▶ over (Ok)
///     │      a broken rule, end of stream, give_up, too late
///     └─────────────────────────────────────────────────────────▶ over (Err): each request gets its Done
/// ```
///
/// Register it (as a mio [`Source`]), hand its events to [`ready`](Self::ready), and give it a [`turn`](Self::turn) after
/// each, at its [`deadline`](Self::deadline), when requests have been answered, and once at the beginning, since requests
/// may have come together with the end of the handshake. After each turn, take the [`event`](Self::event)s.
#[derive(Debug)]
pub struct Server<S: Stream = Socket> {
    channel: Channel<S>,
    rest: Rest,
    engine: transmission::Server,
    requests: Table<RequestId, Held>,
    /// Each with how many bytes of payload are let go of when it is taken.
    events: VecDeque<(ServerEvent, usize)>,
    /// Came, but there is no room for its payload.
    waiting: Option<Request>,
    /// How many bytes of payload are held.
    bytes: usize,
    /// How many requests the caller has to answer.
    asked: usize,
    /// Buffers that were given back since the last turn.
    returned: Vec<BytesMut>,
    options: ServerOptions,
    end_of_input: bool,
    shutting_down: bool,
    /// It ended in order.
    finished: bool,
    hung_up: bool,
    /// When something was received or sent last.
    active: Option<Instant>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

/// What is kept of a request in flight.
#[derive(Debug)]
struct Held {
    request: Request,
    buffer: Buffer,
    /// Whether the caller knows of it, and gets its `Done`.
    told: bool,
}

impl<S: Stream> Server<S> {
    pub(crate) fn new(accepted: Accepted, channel: Channel<S>, rest: Rest, options: ServerOptions) -> Self {
        Self {
            channel,
            rest,
            engine: transmission::Server::new(accepted, options.engine),
            requests: Table::default(),
            events: VecDeque::new(),
            waiting: None,
            bytes: 0,
            asked: 0,
            returned: Vec::new(),
            options,
            end_of_input: false,
            shutting_down: false,
            finished: false,
            hung_up: false,
            active: None,
            stalled: None,
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.engine.set_observer(observer);
    }

    /// What the handshake agreed on: among others, which export.
    pub const fn negotiated(&self) -> &Negotiated {
        self.engine.negotiated()
    }

    /// How the connection ended, once it is over: `Ok` if the client said goodbye, or after
    /// [`begin_shutdown`](Self::begin_shutdown), with everything answered.
    pub fn end(&self) -> Option<Result<(), &Over>> {
        // The first end stays.
        if self.finished { Some(Ok(())) } else { self.engine.over().map(Err) }
    }

    /// The next event.
    pub fn event(&mut self) -> Option<ServerEvent> {
        let (event, freed) = self.events.pop_front()?;
        self.bytes -= freed;
        Some(event)
    }

    /// Answers with success a request whose answer has no content: any but `READ` and `BLOCK_STATUS`. Refused if it is
    /// one of those, and if it was answered before or the connection is over.
    pub fn finish(&mut self, id: RequestId) -> Result<(), Refused> {
        self.engine.finish(id)?;
        self.asked -= 1;
        Ok(())
    }

    /// Answers a `READ` with what is in the buffer, which is as long as the request. It comes back with
    /// [`Done`](ServerEvent::Done).
    pub fn finish_read(&mut self, id: RequestId, buffer: impl Into<Buffer>) -> Result<(), RefusedAnswer> {
        let buffer = buffer.into();
        let whole = [ReadPart::Data(buffer.len() as u64)];
        self.answer_read(id, buffer, &whole)
    }

    /// The same with parts of it told as holes. The parts cover the whole length; where the request does not
    /// [take holes](Request::takes_holes), the buffer has to hold their zeroes.
    pub fn finish_read_with(
        &mut self,
        id: RequestId,
        buffer: impl Into<Buffer>,
        parts: &[ReadPart],
    ) -> Result<(), RefusedAnswer> {
        self.answer_read(id, buffer.into(), parts)
    }

    fn answer_read(&mut self, id: RequestId, buffer: Buffer, parts: &[ReadPart]) -> Result<(), RefusedAnswer> {
        let refuse = |why, buffer| Err(RefusedAnswer { why, buffer });
        let Some(held) = self.requests.get_mut(id) else {
            return refuse(Refused::Answer { reason: "no request of that name awaits an answer" }, buffer);
        };
        if held.request.length != buffer.len() as u64 {
            return refuse(Refused::Answer { reason: "the buffer is not as long as the request" }, buffer);
        }
        match self.engine.finish_read(id, parts) {
            Ok(()) => {
                held.buffer = buffer;
                self.asked -= 1;
                Ok(())
            }
            Err(why) => refuse(why, buffer),
        }
    }

    /// The contexts that a `BLOCK_STATUS` asks about; none for any other request.
    pub fn contexts(&self, id: RequestId) -> &[ContextId] {
        self.engine.contexts(id)
    }

    /// Answers a `BLOCK_STATUS`: see [`transmission::Server::finish_status`].
    pub fn finish_status(&mut self, id: RequestId, answers: &[(ContextId, &[Descriptor])]) -> Result<(), Refused> {
        self.engine.finish_status(id, answers)?;
        self.asked -= 1;
        Ok(())
    }

    /// Answers any request with an error.
    pub fn fail(&mut self, id: RequestId, failure: &Failure<'_>) -> Result<(), Refused> {
        if !self.requests.get(id).is_some_and(|held| held.told) {
            return Err(Refused::Answer { reason: "no request of that name awaits an answer" });
        }
        self.engine.fail(id, failure)?;
        self.asked -= 1;
        Ok(())
    }

    /// Takes memory back for the payload of writes to come: any that is not needed any more. Without, each write takes
    /// new memory. At the next turn it goes to the [`Scratch`], for all connections.
    pub fn reuse(&mut self, buffer: BytesMut) {
        self.returned.push(buffer);
    }

    /// The server is being shut down: requests that come from now on are failed with `ESHUTDOWN`, and when those before
    /// have been answered the connection is over. A [`turn`](Self::turn) is due.
    ///
    /// A client that sends more over TCP just then may find a reset in place of the last answers, as with any server that
    /// hangs up on a client which has not said goodbye.
    pub fn begin_shutdown(&mut self) {
        self.shutting_down = true;
        self.engine.begin_shutdown();
    }

    /// Gives the connection up. A [`turn`](Self::turn) is due.
    pub fn give_up(&mut self, reason: &str) {
        self.engine.give_up(reason);
    }

    /// Takes note of a readiness event for it. A [`turn`](Self::turn) is due.
    pub fn ready(&mut self, event: &Event) {
        self.channel.ready(event);
    }

    /// The same for loops whose readiness does not come from mio: the stream may now have something to receive, or room
    /// to send, or has broken, which is both. Tell it after each [`WouldBlock`](std::io::ErrorKind::WouldBlock) of the
    /// stream, once that is over; `false` takes nothing back. A [`turn`](Self::turn) is due.
    pub const fn set_ready(&mut self, readable: bool, writable: bool) {
        self.channel.set_ready(readable, writable);
    }

    /// When a turn is due though nothing has happened; none once the connection is over. May change with each turn, and
    /// with each answer.
    pub fn deadline(&self) -> Option<Instant> {
        if self.end().is_some() {
            return None;
        }
        [self.stall_deadline(), self.idle_deadline()].into_iter().flatten().min()
    }

    fn stall_deadline(&self) -> Option<Instant> {
        self.stalled?.checked_add(self.options.stall_timeout?)
    }

    fn idle_deadline(&self) -> Option<Instant> {
        if self.awaits_client() { self.active?.checked_add(self.options.idle_timeout?) } else { None }
    }

    /// Whether only the client can bring something new: also in the middle of a request, which it may never end.
    fn awaits_client(&self) -> bool {
        let owes = self.asked > 0 || self.waiting.is_some() || self.engine.wants_write();
        self.engine.over().is_none() && !owes
    }

    /// Whether nothing is owed to the client.
    fn is_idle(&self) -> bool {
        self.engine.over().is_none() && self.engine.in_flight() == 0 && !self.engine.wants_write()
    }

    /// Does what can be done now: sends, receives, and finds out what is late. The clock is the caller's: `now` is never
    /// earlier than at the turn before.
    pub fn turn(&mut self, scratch: &mut Scratch, now: Instant) -> Turn {
        self.active.get_or_insert(now);
        let mut intake = scratch.take_up(&mut self.rest);
        for buffer in self.returned.drain(..) {
            intake.pool().give(buffer);
        }
        let turn = self.transfer(&mut intake, now);
        self.rest.put_by(intake.bytes());
        if turn == Turn::Wait {
            self.look_at_the_clock(now);
        }
        if self.engine.over().is_some() || self.finished {
            self.settle();
            return Turn::Over;
        }
        turn
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        let stuck = self.engine.wants_write();
        self.stalled = if stuck { self.stalled.or(Some(now)) } else { None };
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.stall_deadline()) {
            let limit = Seconds(self.options.stall_timeout.unwrap_or(Duration::ZERO));
            self.engine.give_up(&format!("the client took no bytes for {limit}"));
        } else if passed(self.idle_deadline()) {
            let limit = Seconds(self.options.idle_timeout.unwrap_or(Duration::ZERO));
            self.engine.give_up(&format!("the client sent nothing for {limit}"));
        }
    }

    /// Gives back memory that a time of many requests has left. Worth a call before a connection is left idle.
    pub fn shrink(&mut self) {
        self.requests.shrink();
        self.events.shrink_to_fit();
        self.returned.shrink_to_fit();
        self.engine.shrink();
    }
}

/// How many bytes of payload a request has, either way.
fn payload_length(request: &Request) -> usize {
    let has_payload = matches!(request.command, CommandType::READ | CommandType::WRITE);
    if has_payload { request.length as usize } else { 0 }
}

/// Listens for both directions, whatever interest is named.
impl<S: Stream> Source for Server<S> {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.channel.stream.register(registry, token, BOTH)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.channel.stream.reregister(registry, token, BOTH)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.channel.stream.deregister(registry)
    }
}
