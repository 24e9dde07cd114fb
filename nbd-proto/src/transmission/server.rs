//! The server's engine of the transmission phase.

mod admit;
mod answer;
mod event;
mod finish;
mod intake;
mod replies;
mod settings;
mod table;
mod verdict;

pub use answer::{Failure, ReadPart};
pub use event::{Request, RequestId, ServerEvent};
pub use settings::ServerSettings;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;

use self::admit::{Admitted, Objection};
use self::finish::answered;
use self::intake::Intake;
use self::replies::Replies;
use self::table::{Stage, Table};
use self::verdict::Verdict;
use super::inbound::Landing;
use super::outbound::Outbound;
use super::slots::SlotIndex;
use crate::error::{Ended, Error, PeerMisbehaved, Refused};
use crate::handshake::{Accepted, Advance, Negotiated, ReplyStyle};
use crate::observe::{Hook, Observation, Observer};
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, ContextId, ErrorValue};
use crate::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

/// The server's engine: turns what comes in into requests, and answers into bytes that go out.
///
/// ```text
///                 a WRITE           receive            last byte
///   AwaitRequest ─────────▶ Consent ───────▶ Payload ───────────▶ Received ──▶ back to AwaitRequest
///     │  ▲  │                  │ fail           │ fail
///     │  │  │ it cannot be     ▼                ▼
///     │  │  │ carried out ──▶ Skip ◀────────────┘
///     │  └──┼────────────────── │ last byte: the error is answered
///     │     │ DISC
///     │     └────────▶ Disconnecting ── all answers sent ──▶ is_finished
///     │ a broken rule, eof, give_up: from any
///     └──────────────▶ over: each request gets its Done, then every input gives the error
///
///   a request:  Request ──▶ (Received) ──▶ finish…, fail ──▶ the answer is sent ──▶ Done
/// ```
///
/// Requests that break a rule are answered by the engine, with the error that the specification has for it, and the
/// caller never hears of them. Of those that it hears of, any number is in flight up to
/// [a limit](ServerSettings::max_in_flight), and they may be answered in any order and at any time.
#[derive(Debug)]
pub struct Server {
    facts: Negotiated,
    settings: ServerSettings,
    table: Table,
    intake: Intake,
    replies: Replies,
    /// Why the request has failed whose payload is skipped.
    verdict: Verdict,
    /// Whether the last input ended inside a message.
    inside: bool,
    shutting_down: bool,
    over: Option<Error>,
    hook: Hook,
}

type Step<'a> = Result<Advance<ServerEvent<'a>>, Error>;

impl Server {
    /// An engine for the connection that a handshake has ended in.
    pub fn new(accepted: Accepted, settings: ServerSettings) -> Self {
        let facts = accepted.into_negotiated();
        Self {
            // The field is open, so its value may not have come through the setter.
            settings: settings.with_max_in_flight(settings.max_in_flight),
            table: Table::default(),
            intake: Intake::Header,
            replies: Replies::new(facts.reply_style),
            verdict: Verdict::default(),
            inside: false,
            shutting_down: false,
            over: None,
            hook: Hook::default(),
            facts,
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.hook = Hook(observer);
    }

    /// What the handshake agreed on.
    pub const fn negotiated(&self) -> &Negotiated {
        &self.facts
    }

    /// How many requests have not had their `Done`, those included that the engine answers by itself. May change
    /// after `input` and `sent`.
    pub const fn in_flight(&self) -> usize {
        self.table.len()
    }

    /// Whether more input can be used now. It cannot while the limit of requests in flight is reached, while a
    /// `WRITE` awaits consent, after a disconnect, and once the connection is over. May change after every call that
    /// takes `&mut self`.
    pub fn wants_read(&self) -> bool {
        self.over.is_none()
            && match self.intake {
                Intake::Header => self.has_room(),
                Intake::Consent(_) | Intake::Over => false,
                _ => true,
            }
    }

    /// Whether [`outbound`](Self::outbound) has anything. May change after every call that takes `&mut self`.
    pub fn wants_write(&self) -> bool {
        !self.replies.queue.is_empty()
    }

    /// Why the connection is over, once it is.
    pub const fn over(&self) -> Option<&Error> {
        self.over.as_ref()
    }

    /// Whether the client asked for a soft disconnect.
    pub const fn is_disconnecting(&self) -> bool {
        matches!(self.intake, Intake::Over)
    }

    /// Whether the client asked for a soft disconnect and has got all answers: the connection is to be closed. Not so
    /// where the connection was [over](Self::over) before. May change after `input` and `sent`.
    pub const fn is_finished(&self) -> bool {
        self.over.is_none() && self.is_disconnecting() && self.table.len() == 0
    }

    /// The contexts that a `BLOCK_STATUS` asks about; none for any other request, and once it has been answered.
    pub fn contexts(&self, id: RequestId) -> &[ContextId] {
        self.table.find(id).map_or(&[], |slot| &self.table.request(slot).contexts)
    }

    fn has_room(&self) -> bool {
        self.table.len() < self.settings.max_in_flight
    }

    /// Takes bytes from the network, and returns how many were consumed and at most one event.
    ///
    /// An empty slice is a legal call: an event may be due without input, after `landed`, `sent`, `eof` or
    /// `give_up`. What was not consumed is to be handed in again, with more behind it. With nothing consumed and no
    /// event, more bytes are needed, or [`wants_read`](Self::wants_read) is false. Once the connection is over,
    /// the requests in flight get their `Done`, then the error comes, and again at every later call.
    pub fn input<'a>(&mut self, input: &'a [u8]) -> Result<Advance<ServerEvent<'a>>, Error> {
        if let Some(event) = self.done() {
            return Ok(Advance::event(0, event));
        }
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        match self.step(input) {
            Ok(advance) => {
                // An empty input says nothing about bytes that were not consumed.
                if !input.is_empty() {
                    self.inside = advance.event.is_none() && advance.consumed < input.len();
                }
                Ok(advance)
            }
            Err(error) => {
                self.end(error.clone());
                self.done().map_or(Err(error), |event| Ok(Advance::event(0, event)))
            }
        }
    }

    fn step<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self.intake.clone() {
            Intake::Header if self.has_room() => self.header(input),
            Intake::Header | Intake::Consent(_) | Intake::Over => Ok(Advance::NOTHING),
            Intake::Filter { slot, length } => Ok(self.filter(slot, length, input)),
            Intake::Payload { slot, range } => {
                let count = input.len().min(range.len());
                if count == 0 {
                    return Ok(Advance::NOTHING);
                }
                self.landed(count);
                let (id, range) = (self.table.id(slot), range.start..range.start + count);
                Ok(Advance::event(count, ServerEvent::Data { id, range, bytes: &input[..count] }))
            }
            Intake::Received(slot) => {
                self.intake = Intake::Header;
                self.table.request_mut(slot).stage = Stage::AwaitAnswer;
                Ok(Advance::event(0, ServerEvent::Received { id: self.table.id(slot) }))
            }
            Intake::Skip { slot, left } => {
                let count = (input.len() as u64).min(left);
                self.intake = Intake::Skip { slot, left: left - count };
                if left == count {
                    self.intake = Intake::Header;
                    let failure = self.verdict.failure();
                    self.replies.failure(answered(&self.table, slot), &failure, &mut self.hook);
                }
                Ok(Advance::quiet(count as usize))
            }
        }
    }

    fn header<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let parsed = if self.facts.reply_style == ReplyStyle::Extended {
            ExtendedRequest::parse(input)?
        } else {
            CompactRequest::parse(input)?.map(|(compact, consumed)| (ExtendedRequest::from(compact), consumed))
        };
        let Some((header, consumed)) = parsed else { return Ok(Advance::NOTHING) };
        self.hook.observe(|| Observation::Request(header));
        if header.command == CommandType::DISC {
            self.intake = Intake::Over;
            return Ok(Advance::event(consumed, ServerEvent::Disconnect));
        }
        let request = Admitted::new(header, self.facts.reply_style);
        let objection = request.objection(&self.facts, self.shutting_down).or_else(|| {
            // "or detects duplicate or unknown metacontext ids": longer than all contexts, it has to have such.
            let most = 8 + 4 * self.facts.contexts.len() as u64;
            let strange = request.has_filter() && request.payload > most;
            strange.then_some((ErrorValue::EINVAL, "the payload names more contexts than were selected"))
        });
        if objection.is_some() && request.payload > self.settings.max_skipped {
            // "in all other cases, a server SHOULD gracefully consume *length* bytes of payload" (spec, *Request
            // message*): those in which it is no longer than the maximum that the client was told.
            let told = self.facts.info.block_sizes.map_or(0, |sizes| u64::from(sizes.maximum));
            let (length, limit) = (request.payload, self.settings.max_skipped.max(told));
            if length > limit {
                return Err(PeerMisbehaved::PayloadTooLong { command: request.command, length, limit }.into());
            }
        }
        let slot = self.table.insert(&request);
        if let Some(objection) = objection {
            self.object(slot, objection, request.payload);
        } else if request.has_filter() {
            self.intake = Intake::Filter { slot, length: request.payload as usize };
        } else if request.is_empty() {
            self.table.request_mut(slot).stage = Stage::Answered;
            self.replies.success(answered(&self.table, slot), &mut self.hook);
        } else {
            if request.command == CommandType::BLOCK_STATUS {
                let all = self.facts.contexts.iter().map(|context| context.id);
                self.table.request_mut(slot).contexts.extend(all);
            }
            return Ok(Advance::event(consumed, self.tell(slot)));
        }
        Ok(Advance::quiet(consumed))
    }

    /// Tells the caller of a request.
    fn tell(&mut self, slot: SlotIndex) -> ServerEvent<'static> {
        let id = self.table.id(slot);
        let served = self.table.request_mut(slot);
        served.told = true;
        if served.command == CommandType::WRITE {
            self.intake = Intake::Consent(slot);
        } else {
            self.intake = Intake::Header;
            served.stage = Stage::AwaitAnswer;
        }
        let flags = served.flags - CommandFlags::PAYLOAD_LEN;
        let (command, length) = (served.command, served.length);
        // Kept for the echo, but no part of a flush.
        let offset = if command == CommandType::FLUSH { 0 } else { served.offset };
        let takes_holes = self.replies.take_holes(command, flags);
        ServerEvent::Request(Request { id, command, flags, offset, length, takes_holes })
    }

    fn filter<'a>(&mut self, slot: SlotIndex, length: usize, input: &'a [u8]) -> Advance<ServerEvent<'a>> {
        let Some(payload) = input.get(..length) else { return Advance::NOTHING };
        match self.filtered(slot, payload) {
            Ok(()) => Advance::event(length, self.tell(slot)),
            Err(objection) => {
                self.object(slot, objection, 0);
                Advance::quiet(length)
            }
        }
    }

    /// Takes the range and the contexts that a payload names.
    fn filtered(&mut self, slot: SlotIndex, payload: &[u8]) -> Result<(), Objection> {
        let invalid = |reason| (ErrorValue::EINVAL, reason);
        let (length, contexts) =
            BlockStatusPayload::view(payload).map_err(|_| invalid("the payload has a strange length"))?;
        let served = self.table.request_mut(slot);
        served.length = length;
        for context in contexts {
            let selected = self.facts.contexts.iter().any(|selected| selected.id == context);
            if !selected || served.contexts.contains(&context) {
                return Err(invalid("the payload names a context twice, or one that was not selected"));
            }
            served.contexts.push(context);
        }
        if served.contexts.is_empty() {
            return Err(invalid("the payload names no contexts"));
        }
        let (command, flags, offset, length) = (served.command, served.flags, served.offset, served.length);
        let request = Admitted { cookie: served.cookie, command, flags, offset, length, payload: 0 };
        request.range_objection(&self.facts).map_or(Ok(()), Err)
    }

    /// Consents to the payload of a `WRITE`: there is a buffer for it. Refused if the request does not await that, or
    /// is not in flight any more.
    pub fn receive(&mut self, id: RequestId) -> Result<(), Refused> {
        let slot = self.awaited(id)?;
        if self.intake != Intake::Consent(slot) {
            return Err(Refused::Answer { reason: "it does not await consent to its payload" });
        }
        self.intake = Intake::Payload { slot, range: 0..self.table.request(slot).length as usize };
        Ok(())
    }

    /// Where the next bytes from the network belong, if they are payload that can be received in place.
    ///
    /// While this is `Some`, bytes may be received there and committed with [`landed`](Self::landed), or handed
    /// to [`input`](Self::input) as any others.
    pub fn landing(&self) -> Option<Landing<RequestId>> {
        match &self.intake {
            Intake::Payload { slot, range } if self.over.is_none() => {
                Some(Landing { owner: self.table.id(*slot), range: range.clone() })
            }
            _ => None,
        }
    }

    /// Commits that `count` bytes have been received at the start of the [`landing`](Self::landing). More than its
    /// range is long counts as all of it; but whoever received more has lost bytes that belong elsewhere. After the
    /// last byte, [`input`](Self::input) has the event [`Received`](ServerEvent::Received).
    pub fn landed(&mut self, count: usize) {
        if let Intake::Payload { slot, range } = &mut self.intake {
            range.start = range.start.saturating_add(count).min(range.end);
            // What input left behind while consent was awaited may have been payload.
            self.inside = false;
            if range.start == range.end {
                self.intake = Intake::Received(*slot);
            }
        }
    }

    /// The server is being shut down: requests that come from now on are answered with `ESHUTDOWN` ("any
    /// subsequently received requests SHOULD be `NBD_ESHUTDOWN`", spec, *Terminating the transmission phase*).
    pub const fn begin_shutdown(&mut self) {
        self.shutting_down = true;
    }

    /// What is to be sent next, in order. Looking changes nothing; a look after another answer shows more behind it.
    pub fn outbound(&self) -> Outbound<'_, RequestId> {
        self.replies.queue.segments()
    }

    /// Commits that `count` bytes of [`outbound`](Self::outbound) have gone out. Any cut is fine. More than was
    /// queued counts as all of it.
    pub fn sent(&mut self, count: usize) {
        let table = &mut self.table;
        self.replies.queue.sent(count, |slot| table.sent(slot));
    }

    /// Gives back memory that a time of many requests has left behind. Otherwise it is kept, so that requests cost no
    /// allocation; worth a call before a connection is left idle.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.replies.queue.shrink();
    }

    /// The client closed the stream. What was in flight gets its `Done` from [`input`](Self::input). After a
    /// disconnect it means nothing: the client may close its half at once, and still take answers.
    pub fn eof(&mut self) {
        let within = match self.intake {
            Intake::Over => return,
            Intake::Header if !self.inside => None,
            Intake::Header | Intake::Filter { .. } => Some("a request"),
            // Its payload has come in full.
            Intake::Received(_) => None,
            Intake::Consent(_) | Intake::Payload { .. } | Intake::Skip { .. } => Some("the payload of a request"),
        };
        let ended = match within {
            Some(within) => Ended::InMessage { within },
            None => Ended::AtBoundary { awaiting: "a request" },
        };
        self.end(ended.into());
    }

    /// The driver gives the connection up, and says why. What was in flight gets its `Done` from
    /// [`input`](Self::input).
    pub fn give_up(&mut self, reason: &str) {
        self.end(Ended::GivenUp { reason: reason.to_owned() }.into());
    }

    fn done(&mut self) -> Option<ServerEvent<'static>> {
        if let Some(id) = self.table.pop_done() {
            return Some(ServerEvent::Done { id, sent: true });
        }
        self.over.as_ref()?;
        self.table.pop_any().map(|id| ServerEvent::Done { id, sent: false })
    }

    /// The first error stays.
    fn end(&mut self, error: Error) {
        if self.over.is_none() {
            self.hook.observe(|| Observation::Fatal(&error));
            self.replies.queue.clear();
            self.over = Some(error);
        }
    }
}
