//! The server's transmission phase over a socket.
//!
//! One thread owns the engine. In each turn it parses what has come, hands requests to the backend, answers those
//! that have ended, sends and receives what goes without waiting, and waits only when none of this brought anything.
//! Nothing is read while the engine takes no more, or while a request waits for memory: so a client that does not
//! take its answers costs no more than its limits.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::error::{Ended, Error as Over};
use nbd_proto::transmission::{self, ReadPart, Request, RequestId, Segment, Server, ServerEvent};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::{CommandType, ContextId, ErrorValue};

use super::buffers::Buffers;
use super::connections::Place;
use super::handshake::Admitted;
use super::jobs::{Answer, Ground, Job, Outcome};
use super::link::{Link, Order};
use super::options::ServerOptions;
use super::workers::Workers;
use crate::backend::{Failure, Features};
use crate::error::{Error, seconds};
use crate::input::Input;
use crate::trace;

/// How many pieces one send takes.
const PIECES: usize = 64;

/// How long a connection with nothing to do keeps memory for the next request.
const WARM: Duration = Duration::from_secs(2);

/// How a connection ended that was not cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said goodbye.
    Disconnected,
    /// The client hung up between requests.
    HungUp,
    /// The server was stopped.
    Stopped,
}

struct Transmission<'a> {
    engine: Server,
    link: &'a Link,
    options: &'a ServerOptions,
    ground: Arc<Ground>,
    /// None where the backend never waits.
    workers: Option<Workers>,
    outcomes: Vec<Outcome>,
    buffers: Buffers,
    /// By slot: writes that are being received, and the buffers of answers to reads.
    slots: Vec<Option<(Request, Vec<u8>)>>,
    /// A request that waits for memory. Nothing is parsed behind it.
    waiting: Option<Request>,
    input: Input,
    /// Whether the client sends no more. It may still wait for answers.
    end_of_input: bool,
    /// Whether the socket may have something to read, and may take something, as far as is known.
    readable: bool,
    writable: bool,
    /// When the client was last heard, or an answer left for it.
    active: Instant,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

/// Serves requests until the client leaves, the server is stopped, or a limit is reached.
pub(super) fn run(place: &Place, options: &ServerOptions, admitted: Admitted) -> Result<End, Error> {
    let Admitted { accepted, opened, input } = admitted;
    let contexts = accepted.negotiated().contexts.clone();
    let mut engine = Server::new(accepted, options.engine);
    engine.set_observer(trace::observer());
    let ground = Arc::new(Ground { backend: opened.backend, contexts });
    let immediate = opened.features.contains(Features::IMMEDIATE);
    let workers = || Workers::new(ground.clone(), place.link.clone(), options.threads_per_connection);
    let mut transmission = Transmission {
        workers: (!immediate).then(workers),
        engine,
        link: &place.link,
        options,
        ground,
        outcomes: Vec::new(),
        buffers: Buffers::new(options.max_memory),
        slots: Vec::new(),
        waiting: None,
        input,
        end_of_input: false,
        readable: true,
        writable: true,
        active: Instant::now(),
        stalled: None,
    };
    let result = transmission.serve();
    // Hung up first: while a backend is waited for, the client need not be.
    place.link.stream.hang_up();
    if let Some(workers) = transmission.workers.take() {
        workers.end();
    }
    result
}

impl Transmission<'_> {
    fn serve(&mut self) -> Result<End, Error> {
        loop {
            let order = self.link.order();
            match order {
                Order::GoOn => {}
                Order::Finish => self.engine.begin_shutdown(),
                Order::Leave => self.abandon(),
            }
            let mut moved = self.collect();
            moved |= self.parse();
            moved |= self.send();
            moved |= self.receive();
            if moved {
                continue;
            }
            let idle = self.engine.in_flight() == 0 && !self.engine.wants_write() && self.waiting.is_none();
            if let Some(over) = self.engine.over() {
                // The backend may still be at work for this client.
                if self.running() == 0 {
                    return ended(over.clone());
                }
            } else if idle && self.engine.is_disconnecting() {
                return Ok(End::Disconnected);
            } else if self.end_of_input && self.running() == 0 && !self.engine.wants_write() {
                // All that came in full has been answered.
                self.engine.eof();
                continue;
            } else if idle && order == Order::Finish {
                return Ok(End::Stopped);
            }
            self.wait()?;
        }
    }

    /// Gives the connection up. Calls that the backend has begun are all that is waited for.
    fn abandon(&mut self) {
        if self.engine.over().is_none() {
            self.engine.give_up("it did not end in time when the server was stopped");
            if let Some(workers) = &mut self.workers {
                workers.cancel();
            }
        }
    }

    fn running(&self) -> usize {
        self.workers.as_ref().map_or(0, Workers::running)
    }

    /// Answers requests that the backend is through with. Says whether there were any.
    fn collect(&mut self) -> bool {
        let Some(workers) = &mut self.workers else { return false };
        let mut outcomes = std::mem::take(&mut self.outcomes);
        workers.take(&mut outcomes);
        let any = !outcomes.is_empty();
        for outcome in outcomes.drain(..) {
            self.answer(outcome);
        }
        self.outcomes = outcomes;
        any
    }

    /// Takes every event that is due. Says whether there was any.
    fn parse(&mut self) -> bool {
        let mut any = false;
        if let Some(request) = self.waiting.take() {
            any = self.take_up(request);
        }
        loop {
            // While a request waits, only what is due without input may come.
            let bytes = if self.waiting.is_some() { &[] } else { self.input.bytes() };
            // An error is told by `over`, when all is done.
            let Ok(advance) = self.engine.input(bytes) else { break };
            let consumed = advance.consumed;
            let idle = consumed == 0 && advance.event.is_none();
            let mut request = None;
            match advance.event {
                Some(ServerEvent::Request(new)) => request = Some(new),
                Some(ServerEvent::Data { id, range, bytes }) => {
                    if let Some(Some((_, buffer))) = self.slots.get_mut(id.slot()) {
                        buffer[range].copy_from_slice(bytes);
                    }
                }
                Some(ServerEvent::Received { id }) => {
                    if let Some((request, buffer)) = self.take_slot(id) {
                        self.input.consume(consumed);
                        self.carry_out(request, buffer);
                        any = true;
                        continue;
                    }
                }
                Some(ServerEvent::Done { id, .. }) => {
                    if let Some((_, buffer)) = self.take_slot(id) {
                        self.buffers.give(buffer);
                    }
                }
                Some(ServerEvent::Disconnect) | None => {}
            }
            self.input.consume(consumed);
            if let Some(request) = request {
                self.take_up(request);
            }
            if idle {
                break;
            }
            any = true;
        }
        if any {
            self.active = Instant::now();
        }
        any
    }

    /// Begins a request, or lets it wait for memory. Says whether it began.
    fn take_up(&mut self, request: Request) -> bool {
        let Request { id, command, length, .. } = request;
        if !matches!(command, CommandType::READ | CommandType::WRITE) {
            self.carry_out(request, Vec::new());
            return true;
        }
        if !self.buffers.can_hold(length) {
            self.fail(id, &Failure::new(ErrorValue::EOVERFLOW, "the server has no memory for that much at once"));
            return true;
        }
        let Some(buffer) = self.buffers.take(length as usize) else {
            self.waiting = Some(request);
            return false;
        };
        if command == CommandType::READ {
            self.carry_out(request, buffer);
        } else if self.engine.receive(id).is_ok() {
            self.put_slot(request, buffer);
        } else {
            // The connection is over.
            self.buffers.give(buffer);
        }
        true
    }

    /// Has the backend do what a request asks for, now or soon.
    fn carry_out(&mut self, request: Request, buffer: Vec<u8>) {
        let contexts = self.engine.contexts(request.id).to_vec();
        let job = Job { request, buffer, contexts };
        let job = match &mut self.workers {
            Some(workers) => workers.hand_in(job).err(),
            None => Some(job),
        };
        if let Some(job) = job {
            let outcome = job.run(&self.ground);
            self.answer(outcome);
        }
    }

    /// Tells the client what became of a request.
    fn answer(&mut self, outcome: Outcome) {
        let Outcome { request, buffer, result } = outcome;
        let id = request.id;
        let told = match result {
            Ok(Answer::Nothing) => self.engine.finish(id),
            Ok(Answer::Read(parts)) => {
                let whole = [ReadPart::Data(request.length)];
                self.engine.finish_read(id, parts.as_deref().unwrap_or(&whole))
            }
            Ok(Answer::Status(status)) => {
                let answers: Vec<(ContextId, &[Descriptor])> =
                    status.iter().map(|(id, extents)| (*id, &extents[..])).collect();
                self.engine.finish_status(id, &answers)
            }
            Err(failure) => {
                let Request { command, offset, length, .. } = request;
                tracing::debug!(peer = self.link.peer, %command, offset, length, "failed: {failure}");
                self.fail(id, &failure);
                Ok(())
            }
        };
        if let Err(refused) = told {
            if self.engine.over().is_none() {
                tracing::error!(peer = self.link.peer, "the backend answered what cannot be told: {refused}");
                self.fail(id, &Failure::new(ErrorValue::EIO, "the server failed to carry out the request"));
            }
        }
        if request.command == CommandType::READ && self.engine.over().is_none() {
            // It is sent from there.
            self.put_slot(request, buffer);
        } else {
            self.buffers.give(buffer);
        }
    }

    fn fail(&mut self, id: RequestId, failure: &Failure) {
        let Failure { error, message, offset } = failure;
        // Refused only when the connection is over, and then nobody hears it.
        let _ = self.engine.fail(id, &transmission::Failure { error: *error, message, offset: *offset });
    }

    fn put_slot(&mut self, request: Request, buffer: Vec<u8>) {
        let slot = request.id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((request, buffer));
    }

    fn take_slot(&mut self, id: RequestId) -> Option<(Request, Vec<u8>)> {
        self.slots.get_mut(id.slot()).and_then(Option::take)
    }

    /// Sends what there is room for. Says whether that was anything.
    fn send(&mut self) -> bool {
        let mut any = false;
        while self.writable && self.engine.wants_write() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let (mut count, mut length) = (0, 0);
            for segment in self.engine.outbound().take(PIECES) {
                let bytes = match segment {
                    Segment::Framing(bytes) => bytes,
                    Segment::Payload { owner, range } => match self.slots.get(owner.slot()) {
                        Some(Some((_, buffer))) => &buffer[range],
                        _ => break,
                    },
                };
                pieces[count] = IoSlice::new(bytes);
                count += 1;
                length += bytes.len();
            }
            if length == 0 {
                // Cannot be; without it, a mistake would turn into a busy loop.
                self.engine.give_up("there is an answer to send, but nothing of it");
                return true;
            }
            match self.link.stream.try_send(&pieces[..count]) {
                Ok(Some(sent)) => {
                    self.engine.sent(sent);
                    self.writable = sent == length;
                    self.stalled = None;
                    any = true;
                }
                Ok(None) => self.writable = false,
                Err(error) => {
                    self.engine.give_up(&format!("sending to the client: {error}"));
                    return true;
                }
            }
        }
        if self.options.stall_timeout.is_some() && !self.writable && self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
        any
    }

    fn wants_read(&self) -> bool {
        !self.end_of_input && self.waiting.is_none() && self.engine.over().is_none() && self.engine.wants_read()
    }

    /// Receives what is there: payload where it belongs, and what is behind it with the same call. Says whether
    /// anything came of it.
    fn receive(&mut self) -> bool {
        if !self.readable || !self.wants_read() {
            return false;
        }
        let landing = self.engine.landing();
        let mut payload: &mut [u8] = &mut [];
        if let Some(landing) = landing {
            if let Some(Some((_, buffer))) = self.slots.get_mut(landing.owner.slot()) {
                payload = &mut buffer[landing.range];
            }
        }
        let in_place = payload.len();
        let room = self.input.room();
        let length = in_place + room.len();
        let mut pieces = [IoSliceMut::new(payload), IoSliceMut::new(room)];
        let first = usize::from(in_place == 0);
        match self.link.stream.try_recv(&mut pieces[first..]) {
            Ok(None) => {
                self.readable = false;
                return false;
            }
            Ok(Some(0)) => self.end_of_input = true,
            Ok(Some(count)) => {
                self.engine.landed(count.min(in_place));
                self.input.received(count.saturating_sub(in_place));
                self.readable = count == length;
                self.active = Instant::now();
            }
            Err(error) => self.engine.give_up(&format!("receiving from the client: {error}")),
        }
        true
    }

    /// Waits until there is something to do, and gives up a client that has had its time.
    fn wait(&mut self) -> Result<(), Error> {
        let over = self.engine.over().is_some();
        let write = !over && self.engine.wants_write();
        let idle = !over && !write && self.running() == 0 && self.waiting.is_none();
        let after = |since: Instant, limit: Option<Duration>| limit.and_then(|limit| since.checked_add(limit));
        let quiet = if idle { after(self.active, self.options.idle_timeout) } else { None };
        let stalled = self.stalled.filter(|_| write).and_then(|since| after(since, self.options.stall_timeout));
        let cool = if idle && self.buffers.has_free() { after(self.active, Some(WARM)) } else { None };
        let deadline = [quiet, stalled, cool].into_iter().flatten().min();
        let ready = self
            .link
            .stream
            .wait(self.wants_read(), write, deadline)
            .map_err(|error| Error::io("waiting for the socket", error))?;
        self.readable |= ready.read;
        self.writable |= ready.write;
        if ready.read || ready.write || ready.woken {
            return Ok(());
        }
        let now = Instant::now();
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(stalled) {
            let limit = seconds(self.options.stall_timeout.unwrap_or_default());
            self.engine.give_up(&format!("the client took no bytes for {limit}"));
        } else if passed(quiet) {
            let limit = seconds(self.options.idle_timeout.unwrap_or_default());
            self.engine.give_up(&format!("the client sent nothing for {limit}"));
        } else if passed(cool) {
            self.buffers.shrink();
        }
        Ok(())
    }
}

fn ended(over: Over) -> Result<End, Error> {
    match over {
        Over::Ended(Ended::AtBoundary { .. }) => Ok(End::HungUp),
        Over::Ended(Ended::ByUs) => Ok(End::Disconnected),
        over => Err(over.into()),
    }
}
