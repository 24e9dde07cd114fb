//! A client connection in its transmission phase.

mod completion;
mod dues;
mod options;
mod transfer;

pub use completion::{Completion, Rejected, Rejection};
pub use options::ClientOptions;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use nbd_proto::error::{Ended, Error as Over, Refused};
use nbd_proto::handshake::Negotiated;
use nbd_proto::observe::Observer;
use nbd_proto::transmission::{self, Command, StatusAnswer, StatusMemory};
use nbd_proto::wire::number::{CommandType, ContextId, Cookie};

use self::dues::Dues;
use crate::buffer::{Buffer, ReadBuffer};
use crate::channel::{BOTH, Channel};
use crate::error::Seconds;
use crate::scratch::{Rest, Scratch};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::table::Table;
use crate::turn::Turn;

/// A client connection: takes requests with their buffers, and gives each back as one [`Completion`].
///
/// ```text
///            read, write, … submit            turn, turn, …
///   caller ────────────────────────▶ Open ────────────────────▶ completion()
///                                     │
///                 disconnect,         │        a broken rule, end of stream, give_up, too late
///                 or ESHUTDOWN came   ├─────────────────────────────────────────────────────────┐
///                                     ▼                                                         ▼
///                                  Closing: no more requests; the last       ──────────▶  over: each request
///                                  completion, DISC, the server hangs up                  gets its completion
/// ```
///
/// Register it (as a mio [`Source`]), hand its events to [`ready`](Self::ready), and give it a [`turn`](Self::turn) after
/// each, at its [`deadline`](Self::deadline), when requests have been handed in: they are sent then; and once at the
/// beginning, since the server may have hung up together with the end of the handshake, which no further event tells.
/// After each turn, take the completions.
///
/// Each request that was taken ends in exactly one completion, whatever happens, with its buffer; only dropping the
/// client drops what it still holds.
#[derive(Debug)]
pub struct Client<S: Stream = Socket> {
    channel: Channel<S>,
    rest: Rest,
    engine: transmission::Client,
    requests: Table<Cookie, Request>,
    completions: VecDeque<Completion>,
    /// How many bytes of buffers are held.
    bytes: usize,
    /// What the answers to block status take.
    status_memory: StatusMemory,
    dues: Dues,
    /// Which deadline of a request had passed at a turn that left bytes unread, and when that was.
    late: Option<(Instant, Instant)>,
    options: ClientOptions,
    /// No further requests: the end of those in flight is the time to say goodbye.
    closing: bool,
    /// Whether goodbye was said.
    parted: bool,
    /// When the server has had its time to hang up, once it was told goodbye; what is too far away is never.
    goodbye: Option<Instant>,
    /// Why nothing can be sent any more; what the server has said is read first.
    deaf: Option<String>,
    hung_up: bool,
}

/// What is kept of a request in flight.
#[derive(Debug)]
struct Request {
    command: Command,
    buffer: Buffer,
    status: StatusAnswer,
}

impl<S: Stream> Client<S> {
    pub(crate) fn new(negotiated: Negotiated, channel: Channel<S>, rest: Rest, options: ClientOptions) -> Self {
        Self {
            channel,
            rest,
            engine: transmission::Client::new(negotiated, options.engine),
            requests: Table::default(),
            completions: VecDeque::new(),
            bytes: 0,
            status_memory: StatusMemory::new(options.max_status_memory),
            dues: Dues::new(options.request_timeout),
            late: None,
            options,
            closing: false,
            parted: false,
            goodbye: None,
            deaf: None,
            hung_up: false,
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.engine.set_observer(observer);
    }

    /// What the handshake agreed on.
    pub const fn negotiated(&self) -> &Negotiated {
        self.engine.negotiated()
    }

    /// How many requests have not had their completion, or have one that was not taken.
    pub fn in_flight(&self) -> usize {
        self.engine.in_flight() + self.completions.len()
    }

    /// How many requests would be taken now, as far as their number goes.
    pub fn room(&self) -> usize {
        if self.closing { 0 } else { self.engine.room().saturating_sub(self.completions.len()) }
    }

    /// How the connection ended, once it is over: `Ok` after a soft disconnect of ours.
    pub fn end(&self) -> Option<Result<(), &Over>> {
        match self.engine.over()? {
            Over::Ended(Ended::ByUs) => Some(Ok(())),
            error => Some(Err(error)),
        }
    }

    /// Hands in a read of as many bytes as the buffer is long.
    pub fn read(&mut self, buffer: impl ReadBuffer, offset: u64) -> Result<Cookie, Rejected> {
        let buffer = buffer.into();
        self.submit(Command::read(offset, buffer.len() as u64), buffer)
    }

    /// Hands in a write of the whole buffer.
    pub fn write(&mut self, buffer: impl Into<Buffer>, offset: u64) -> Result<Cookie, Rejected> {
        let buffer = buffer.into();
        self.submit(Command::write(offset, buffer.len() as u64), buffer)
    }

    /// Hands in any command. For `READ` and `WRITE` the buffer must be as long as the command says, and for `READ` of a
    /// kind that can be received into; with others it is only carried along: mostly [`Buffer::NONE`]. A request is sent as
    /// it is: it is never split or padded.
    pub fn submit(&mut self, command: Command, buffer: impl Into<Buffer>) -> Result<Cookie, Rejected> {
        self.take(command, None, buffer.into())
    }

    /// Hands in a `BLOCK_STATUS` that only some of the selected contexts are to answer: see
    /// [`transmission::Client::submit_for_contexts`].
    pub fn submit_for_contexts(&mut self, command: Command, contexts: &[ContextId]) -> Result<Cookie, Rejected> {
        self.take(command, Some(contexts), Buffer::NONE)
    }

    fn take(
        &mut self,
        command: Command,
        contexts: Option<&[ContextId]>,
        mut buffer: Buffer,
    ) -> Result<Cookie, Rejected> {
        match self.admit(command, contexts, &mut buffer) {
            Ok(cookie) => {
                self.bytes += buffer.len();
                self.dues.push(cookie);
                self.requests.insert(cookie, Request { command, buffer, status: StatusAnswer::default() });
                Ok(cookie)
            }
            Err(why) => Err(Rejected { why, buffer }),
        }
    }

    fn admit(
        &mut self,
        command: Command,
        contexts: Option<&[ContextId]>,
        buffer: &mut Buffer,
    ) -> Result<Cookie, Rejection> {
        let is_read = command.command == CommandType::READ;
        if (is_read || command.command == CommandType::WRITE) && command.length != buffer.len() as u64 {
            return Err(Rejection::Buffer("the buffer is not as long as the command says"));
        }
        if is_read && buffer.as_mut().is_none() {
            return Err(Rejection::Buffer("a buffer that is shared cannot be read into"));
        }
        if let Some(error) = self.engine.over() {
            return Err(Rejection::Over(error.clone()));
        }
        if self.closing {
            return Err(Rejection::Refused(Refused::Closed));
        }
        if self.room() == 0 {
            return Err(Rejection::TooManyRequests { limit: self.engine.room() + self.engine.in_flight() });
        }
        let limit = self.options.max_bytes;
        // One without a buffer makes nothing larger.
        if self.bytes > 0 && !buffer.is_empty() && self.bytes.saturating_add(buffer.len()) > limit {
            return Err(Rejection::TooManyBytes { limit });
        }
        let taken = match contexts {
            None => self.engine.submit(command),
            Some(contexts) => self.engine.submit_for_contexts(command, contexts),
        };
        taken.map_err(Rejection::Refused)
    }

    /// The next request that has ended, in any order.
    pub fn completion(&mut self) -> Option<Completion> {
        let completion = self.completions.pop_front()?;
        self.bytes -= completion.buffer.len();
        self.status_memory.release(&completion.contexts);
        Some(completion)
    }

    /// Takes no more requests, and says goodbye when those in flight have ended. The server then hangs up, and the
    /// connection is over. A [`turn`](Self::turn) is due.
    pub fn disconnect(&mut self) {
        self.closing = true;
    }

    /// Gives the connection up. Requests in flight end in error, with these words. A [`turn`](Self::turn) is due.
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

    /// When a turn is due though nothing has happened. May change with each turn.
    pub fn deadline(&self) -> Option<Instant> {
        if self.engine.over().is_some() { None } else { [self.dues.first(), self.goodbye].into_iter().flatten().min() }
    }

    /// Does what can be done now: sends, receives, and finds out what is late. The clock is the caller's: `now` is never
    /// earlier than at the turn before.
    pub fn turn(&mut self, scratch: &mut Scratch, now: Instant) -> Turn {
        self.dues.stamp(now);
        let mut intake = scratch.take_up(&mut self.rest);
        let mut turn = self.transfer(&mut intake, now);
        self.rest.put_by(intake.bytes());
        let (engine, requests) = (&self.engine, &self.requests);
        self.dues.sweep(engine.in_flight(), |cookie| requests.get(cookie).is_some());
        // What has come meanwhile is looked at first; but some servers, and busy connections, never leave nothing.
        if turn == Turn::Wait || self.is_late_for_long(now) {
            self.look_at_the_clock(now);
        }
        if self.engine.over().is_some() {
            self.settle();
            turn = Turn::Over;
        }
        turn
    }

    /// Whether the first request has been late for as long again, with something left to read all the time: then what
    /// had come when it was due has been read.
    fn is_late_for_long(&mut self, now: Instant) -> bool {
        let passed = self.dues.first().filter(|at| *at <= now);
        let since = |due| self.late.filter(|(of, _)| *of == due).map_or(now, |(_, since)| since);
        self.late = passed.map(|due| (due, since(due)));
        self.late.is_some_and(|(_, since)| {
            self.dues.timeout().and_then(|timeout| since.checked_add(timeout)).is_some_and(|at| at <= now)
        })
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.dues.first()) {
            let after = Seconds(self.dues.timeout().unwrap_or(Duration::ZERO));
            self.engine.give_up(&format!("a request was not answered within {after}"));
        } else if passed(self.goodbye) {
            if self.engine.wants_write() {
                self.engine.give_up("the server did not take the goodbye in time");
            } else {
                // Some servers do not hang up. They have had their chance, and all that was asked is done.
                self.engine.eof();
            }
        }
    }

    /// Gives back memory that a time of many requests has left. Worth a call before a connection is left idle.
    pub fn shrink(&mut self) {
        self.requests.shrink();
        self.completions.shrink_to_fit();
        self.dues.shrink();
        self.engine.shrink();
    }
}

/// Listens for both directions, whatever interest is named.
impl<S: Stream> Source for Client<S> {
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

impl<S: Stream> Drop for Client<S> {
    /// Says goodbye as far as it goes without waiting.
    fn drop(&mut self) {
        // Refused where it was said before; it may still be on its way.
        let _ = self.engine.disconnect();
        self.say_goodbye();
    }
}
