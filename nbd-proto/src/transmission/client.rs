//! The client's engine of the transmission phase.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use smallvec::SmallVec;

use super::check::{Checks, Command, check};
use super::contexts::Contexts;
use super::inbound::{Event, Facts, Landing, Receiver};
use super::inflight::InFlight;
use super::outbound::{Outbound, SendQueue};
use crate::error::{CommandError, Ended, Error, Refused};
use crate::handshake::{Advance, Negotiated, ReplyStyle};
use crate::observe::{Hook, Observation, Observer};
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{CommandType, ContextId, Cookie};
use crate::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

/// What a [`Client`] is told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientSettings {
    /// How many requests may be in flight. From 1 to 65,536, a value out of range is moved into it; default 128.
    pub max_in_flight: usize,
    /// Which rules our own requests are held against. Default: all.
    pub checks: Checks,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { max_in_flight: 128, checks: Checks::all() }
    }
}

impl ClientSettings {
    /// Sets [`max_in_flight`](Self::max_in_flight).
    #[must_use]
    pub fn with_max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests.clamp(1, 65_536);
        self
    }

    /// Sets [`checks`](Self::checks).
    #[must_use]
    pub const fn with_checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }
}

/// The client's engine: takes commands, says which bytes go out, and turns what comes in into events.
///
/// ```text
///                          submit
///             ┌────────────────────────────────┐
///             ▼                                │
///   ┌──── AwaitReply ◀───────── Open ──────────┘      disconnect         the last Done, then eof
///   │         │    ▲             │ ───────────────▶ Disconnecting ─────────────────────────▶ over (ByUs)
///   │ payload │    │ last byte   │                       │
///   │         ▼    │             │ a broken rule, eof, give_up
///   │     Landing ─┘             ▼                       ▼
///   └────────────────────────▶ over: each pending command gets its Done, then every input gives the error
/// ```
///
/// Each command that was accepted ends in exactly one [`Event::Done`], and not before its last byte was
/// committed by [`sent`](Self::sent) or the connection is over: at `Done` its buffer is free.
#[derive(Debug)]
pub struct Client {
    facts: Facts,
    settings: ClientSettings,
    table: InFlight,
    outbound: SendQueue<Cookie>,
    receiver: Receiver,
    disconnecting: bool,
    /// Where contexts are put in order, and its memory kept.
    named: SmallVec<[ContextId; 4]>,
    over: Option<Error>,
    hook: Hook,
}

impl Client {
    /// An engine for the connection that a handshake has ended in.
    pub fn new(negotiated: Negotiated, settings: ClientSettings) -> Self {
        Self {
            facts: Facts { contexts: Contexts::new(&negotiated), negotiated },
            // The field is open, so its value may not have come through the setter.
            settings: settings.with_max_in_flight(settings.max_in_flight),
            table: InFlight::default(),
            outbound: SendQueue::default(),
            receiver: Receiver::new(),
            disconnecting: false,
            named: SmallVec::new(),
            over: None,
            hook: Hook::default(),
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.hook = Hook(observer);
    }

    /// What the handshake agreed on.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.facts.negotiated
    }

    /// How many commands have not had their `Done`. May change after `submit` and `input`.
    pub fn in_flight(&self) -> usize {
        self.table.len()
    }

    /// How many commands could be submitted now. May change after `submit` and `input`.
    pub fn room(&self) -> usize {
        if self.takes_commands() { self.settings.max_in_flight.saturating_sub(self.table.len()) } else { 0 }
    }

    /// Whether [`outbound`](Self::outbound) has anything. May change after `submit`, `disconnect`, `sent`, and
    /// whatever ends the connection.
    pub fn wants_write(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Whether the server said that it is shutting down: then a [`disconnect`](Self::disconnect) is due ("If
    /// the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft disconnect", spec, *Terminating the
    /// transmission phase*).
    pub const fn is_shutting_down(&self) -> bool {
        self.receiver.is_shutting_down()
    }

    /// Why the connection is over, once it is.
    pub const fn over(&self) -> Option<&Error> {
        self.over.as_ref()
    }

    /// Holds a command against the rules, and sends nothing.
    pub fn check(&self, command: &Command) -> Result<(), Refused> {
        check(command, &self.facts.negotiated, self.settings.checks)
    }

    /// Takes a command, to be sent with [`outbound`](Self::outbound). The cookie will be in all its events.
    ///
    /// A `READ` or `WRITE` needs a buffer of `length` bytes, kept under the cookie until the `Done`.
    pub fn submit(&mut self, command: Command) -> Result<Cookie, Refused> {
        self.accept(command)?;
        Ok(self.send(command, None))
    }

    /// Takes a `BLOCK_STATUS` that only some of the selected contexts are to answer. Needs extended headers,
    /// and a server that offers it by `BLOCK_STATUS_PAYLOAD` (extended-headers extension,
    /// `NBD_CMD_BLOCK_STATUS`).
    pub fn submit_for_contexts(&mut self, command: Command, contexts: &[ContextId]) -> Result<Cookie, Refused> {
        self.accept(command)?;
        let kind = command.command;
        let flags = CommandFlags::PAYLOAD_LEN;
        if kind != CommandType::BLOCK_STATUS || self.facts.negotiated.reply_style != ReplyStyle::Extended {
            return Err(Refused::Flags { command: kind, flags });
        }
        let offered = self.facts.negotiated.info.flags.contains(TransmissionFlags::BLOCK_STATUS_PAYLOAD);
        if self.settings.checks.contains(Checks::FLAGS) && !offered {
            return Err(Refused::Flags { command: kind, flags });
        }
        if self.settings.checks.contains(Checks::CONTEXTS) {
            self.named.clear();
            self.named.extend_from_slice(contexts);
            self.named.sort_unstable();
            let twice = self.named.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
            let strange = || contexts.iter().copied().find(|context| !self.facts.contexts.contains(*context));
            if let Some(context) = twice.or_else(strange) {
                return Err(Refused::Context { context });
            }
            if contexts.is_empty() {
                return Err(Refused::NoContexts);
            }
        }
        let (length, maximum) = (8 + 4 * contexts.len() as u64, u64::from(self.facts.negotiated.maximum_payload()));
        if self.settings.checks.contains(Checks::MAX_PAYLOAD) && length > maximum {
            return Err(Refused::TooLong { length, maximum });
        }
        Ok(self.send(command, Some(contexts)))
    }

    fn takes_commands(&self) -> bool {
        self.over.is_none() && !self.disconnecting
    }

    fn accept(&self, command: Command) -> Result<(), Refused> {
        if !self.takes_commands() {
            return Err(Refused::Closed);
        }
        // A soft disconnect has no reply, and so no `Done`: it is its own call.
        if command.command == CommandType::DISC {
            return Err(Refused::NotOffered { command: command.command });
        }
        if self.table.len() >= self.settings.max_in_flight {
            return Err(Refused::QueueFull { limit: self.settings.max_in_flight });
        }
        self.check(&command)
    }

    fn send(&mut self, command: Command, contexts: Option<&[ContextId]>) -> Cookie {
        let (cookie, slot) = self.table.insert(command);
        if command.command == CommandType::BLOCK_STATUS {
            let answers = self.table.request(slot).answers();
            match contexts {
                Some(contexts) => answers.expect(contexts),
                None => answers.expect_all(&self.facts.contexts),
            }
        }
        match contexts {
            // "The command `NBD_CMD_WRITE` MUST use the flag `NBD_CMD_FLAG_PAYLOAD_LEN` in this mode", and "In the
            // compact style, the client MUST NOT use" it (extended-headers extension, *Request message*). Without
            // a payload behind it, the flag would make the server swallow the requests that follow.
            None => {
                let payload = command.command == CommandType::WRITE && self.is_extended();
                self.frame(command, cookie, command.length, payload);
            }
            Some(contexts) => {
                self.frame(command, cookie, 8 + 4 * contexts.len() as u64, true);
                let effect_length = command.length;
                self.outbound.push_framing(|out| BlockStatusPayload::emit_parts(effect_length, contexts, out));
            }
        }
        if command.command == CommandType::WRITE {
            self.outbound.push_payload(cookie, 0..command.length as usize);
        }
        self.outbound.end_request(slot);
        cookie
    }

    fn is_extended(&self) -> bool {
        self.facts.negotiated.reply_style == ReplyStyle::Extended
    }

    fn frame(&mut self, command: Command, cookie: Cookie, length: u64, payload: bool) {
        let Command { command, mut flags, offset, .. } = command;
        let extended = self.is_extended();
        flags.set(CommandFlags::PAYLOAD_LEN, payload);
        let request = ExtendedRequest { flags, command, cookie, offset, length };
        self.outbound.push_framing(|out| {
            if extended {
                request.emit(out);
            } else {
                CompactRequest { flags, command, cookie, offset, length: length as u32 }.emit(out);
            }
        });
        self.hook.observe(|| Observation::Request(request));
    }

    /// Asks for a soft disconnect: queues `DISC`, after which no command is taken. Commands in flight still get
    /// their answers, but a server may hang up early; better wait until there are none (spec, *Terminating the
    /// transmission phase*).
    pub fn disconnect(&mut self) -> Result<(), Refused> {
        if !self.takes_commands() {
            return Err(Refused::Closed);
        }
        self.frame(
            Command { command: CommandType::DISC, flags: CommandFlags::empty(), offset: 0, length: 0 },
            Cookie(0),
            0,
            false,
        );
        self.disconnecting = true;
        Ok(())
    }

    /// What is to be sent next, in order. Looking changes nothing; a look after `submit` shows more behind it.
    pub fn outbound(&self) -> Outbound<'_> {
        self.outbound.segments()
    }

    /// Commits that `count` bytes of [`outbound`](Self::outbound) have gone out. Any cut is fine.
    pub fn sent(&mut self, count: usize) {
        self.outbound.sent(count, |slot| self.table.sent(slot));
    }

    /// Where the next bytes from the network belong, if they are payload that can be received in place.
    ///
    /// While this is `Some`, bytes may be received there and committed with [`landed`](Self::landed), or handed
    /// to [`input`](Self::input) as any others. May change after `input`, `landed`, `eof` and `give_up`.
    pub fn landing(&self) -> Option<Landing> {
        if self.over.is_some() { None } else { self.receiver.landing(&self.table) }
    }

    /// Commits that `count` bytes have been received at the start of the [`landing`](Self::landing). More than its
    /// range is long counts as all of it; but whoever received more has lost bytes that belong elsewhere.
    pub fn landed(&mut self, count: usize) {
        if self.over.is_none() {
            self.receiver.landed(count, &mut self.table);
        }
    }

    /// Takes bytes from the network, and returns how many were consumed and at most one event.
    ///
    /// An empty slice is a legal call: an event may be due without input, after `landed`, `sent`, `eof` or
    /// `give_up`. With nothing consumed and no event, more bytes are needed, handed in behind those that were
    /// not consumed. Once the connection is over, the pending commands get their `Done`, then the error comes,
    /// and again at every later call.
    pub fn input<'a>(&mut self, input: &'a [u8]) -> Result<Advance<Event<'a>>, Error> {
        if let Some(event) = self.done() {
            return Ok(Advance::event(0, event));
        }
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        let hook = &mut self.hook;
        let seen = |command, header| hook.observe(|| Observation::Reply { command, header });
        match self.receiver.input(input, &mut self.table, &self.facts, seen) {
            Ok(advance) => Ok(advance),
            Err(error) => {
                self.end(error.clone());
                self.done().map_or(Err(error), |event| Ok(Advance::event(0, event)))
            }
        }
    }

    /// Gives back memory that a time of many requests has left behind. Otherwise it is kept, so that requests cost no
    /// allocation; worth a call before a connection is left idle.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.outbound.shrink();
        self.named.shrink_to_fit();
    }

    /// The server closed the stream. What was in flight gets its `Done` from [`input`](Self::input).
    pub fn eof(&mut self) {
        let clean = self.disconnecting && !self.table.is_awaiting() && self.outbound.is_empty();
        let error = if self.receiver.is_inside() {
            Ended::InMessage { within: "a reply" }
        } else if clean {
            Ended::ByUs
        } else {
            Ended::AtBoundary { awaiting: if self.table.is_awaiting() { "a reply" } else { "a request" } }
        };
        self.end(error.into());
    }

    /// The driver gives the connection up, and says why. What was in flight gets its `Done` from
    /// [`input`](Self::input).
    pub fn give_up(&mut self, reason: &str) {
        self.end(Ended::GivenUp { reason: reason.to_owned() }.into());
    }

    fn done(&mut self) -> Option<Event<'static>> {
        let done = self.table.pop_done();
        let (cookie, result) = match (&self.over, done) {
            (_, Some(done)) => done,
            (Some(error), None) => {
                let (cookie, failure) = self.table.pop_any(|| CommandError::Connection(error.clone()))?;
                (cookie, Err(failure))
            }
            (None, None) => return None,
        };
        self.hook.observe(|| Observation::Done { cookie, success: result.is_ok() });
        Some(Event::Done { cookie, result })
    }

    /// The first error stays.
    fn end(&mut self, error: Error) {
        if self.over.is_none() {
            self.hook.observe(|| Observation::Fatal(&error));
            self.outbound.clear();
            self.over = Some(error);
        }
    }
}
