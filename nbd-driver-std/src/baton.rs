//! How threads share one connection without a thread of its own.
//!
//! All state is behind one lock. Among the threads that wait for something, one holds the baton: it sends,
//! receives and waits for the socket on behalf of all. The others are parked. Each wakes when its request has
//! ended, or when it is handed the baton, because
//!
//! - the next bytes from the server belong into the buffer that this thread holds,
//! - the next bytes to the server come from the buffer that this thread holds, or
//! - the thread that had the baton is done.
//!
//! So no thread ever touches another one's buffer, and payload needs no copy on its way.
//!
//! The baton changes hands for a buffer's sake only when the socket is ready for it, so two threads can never
//! pass it to and fro without moving a byte. Its holder waits for both directions at once: a server that reads
//! nothing until its replies have been taken is no trouble.

use std::io::{IoSlice, IoSliceMut};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::error::{CommandError, Ended, Refused};
use nbd_proto::transmission::{self, Command, Event, Segment, StatusMemory};
use nbd_proto::wire::number::{ContextId, Cookie};

use crate::error::seconds;
use crate::options::ConnectOptions;
use crate::queue::Completion;
use crate::queues::{QueueId, Queues};
use crate::stream::Stream;
use crate::table::{Outcome, Request, Requests, Slab, Waiter, WaiterId, Want};

/// Room for headers and small payloads. What does not fit lands in its buffer directly.
const SCRATCH: usize = 128 * 1024;

/// How many pieces one send takes.
const PIECES: usize = 64;

/// How many holes are noted for the owner of a buffer before it is made to fill them.
const HOLES: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    stream: Stream,
    state: Mutex<State>,
    pub(crate) request_timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: transmission::Client,
    pub(crate) requests: Requests,
    pub(crate) waiters: Slab<Waiter>,
    pub(crate) queues: Queues,
    /// What the answers to block status take that nobody has taken yet.
    pub(crate) status_memory: StatusMemory,
    scratch: Box<[u8]>,
    start: usize,
    end: usize,
    /// Who has the baton.
    holder: Option<WaiterId>,
    /// While the holder waits for the socket without the lock: whether it waits for room to send as well.
    waiting: Option<bool>,
    /// Why nothing can be sent any more; what the server has said is read first.
    deaf: Option<String>,
    /// No further requests: the end of those in flight is the time to say goodbye.
    pub(crate) closing: bool,
    /// Both directions of the socket were shut down.
    hung_up: bool,
}

/// The buffer that a thread holds for its request.
#[derive(Debug)]
pub(crate) enum Buffer<'a> {
    None,
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

/// A thread's own request.
#[derive(Debug)]
pub(crate) struct Mine<'a> {
    pub(crate) cookie: Option<Cookie>,
    pub(crate) buffer: Buffer<'a>,
}

impl Mine<'_> {
    /// Of a thread that only takes part.
    pub(crate) const fn nothing() -> Self {
        Self { cookie: None, buffer: Buffer::None }
    }

    fn is(&self, cookie: Cookie) -> bool {
        self.cookie == Some(cookie)
    }
}

/// How far sending came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// All is sent.
    Done,
    /// The socket takes no more.
    Full,
    /// The next bytes are in the buffer of this thread.
    Theirs(WaiterId),
}

impl Shared {
    pub(crate) fn new(stream: Stream, engine: transmission::Client, rest: &[u8], options: &ConnectOptions) -> Self {
        let mut scratch = vec![0; SCRATCH.max(rest.len())].into_boxed_slice();
        scratch[..rest.len()].copy_from_slice(rest);
        let state = State {
            engine,
            requests: Requests::default(),
            waiters: Slab::new(),
            queues: Queues::new(),
            status_memory: StatusMemory::new(options.max_status_memory),
            scratch,
            start: 0,
            end: rest.len(),
            holder: None,
            waiting: None,
            deaf: None,
            closing: false,
            hung_up: false,
        };
        Self { stream, state: Mutex::new(state), request_timeout: options.request_timeout }
    }

    /// A thread that panicked with the lock (the only foreign code in here is an observer, or a subscriber to the
    /// traces) may have left a request half written: nothing more must be sent.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.state.clear_poison();
            let mut state = poisoned.into_inner();
            // A second panic would end the process.
            state.engine.set_observer(None);
            self.give_up(&mut state, "a thread panicked in the middle of a request");
            state
        })
    }

    /// Ends the connection from this side, and gives everybody the news.
    fn give_up(&self, state: &mut State, reason: &str) {
        state.engine.give_up(reason);
        state.settle();
        self.hang_up(state);
        if state.waiting.is_some() {
            self.stream.wake();
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request_timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// Sends what can be sent now. Called after each submission; whoever waits for the socket learns of the rest.
    pub(crate) fn kick(&self, state: &mut State, mine: &Mine<'_>) {
        let sending = self.flush(state, mine);
        let news = state.deaf.is_some() || sending != Sending::Done && state.waiting == Some(false);
        if news && state.waiting.is_some() {
            self.stream.wake();
        }
    }

    /// Waits, and takes part in moving bytes, until `finished` says so or the connection is over.
    ///
    /// Where `deadline` passes first, the connection is given up: the protocol cannot take a request back.
    pub(crate) fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        me: WaiterId,
        mine: &mut Mine<'_>,
        deadline: Option<Instant>,
        finished: impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        loop {
            fill_holes(&mut state, mine);
            let over = state.engine.over().is_some();
            if over {
                state.settle();
                self.hang_up(&mut state);
            }
            if over || finished(&state) {
                break;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let after = self.request_timeout.unwrap_or_default();
                self.give_up(&mut state, &format!("a request was not answered within {}", seconds(after)));
                continue;
            }
            if state.holder.is_none() {
                state.holder = Some(me);
            }
            if state.holder == Some(me) {
                state = self.drive(state, mine, deadline, &finished);
            } else {
                drop(state);
                match deadline {
                    None => thread::park(),
                    Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(Instant::now())),
                }
                state = self.lock();
            }
        }
        state
    }

    /// Moves bytes as the holder of the baton until `finished`, until the baton is handed over, until the
    /// deadline, or until the connection is over.
    fn drive<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        mine: &mut Mine<'_>,
        deadline: Option<Instant>,
        finished: &impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        loop {
            if let Some(owner) = state.parse(mine) {
                state.hand_over(owner);
                return state;
            }
            self.part(&mut state);
            // A server that always has more to say would hold this up for ever.
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if late || finished(&state) || state.engine.over().is_some() {
                return state;
            }
            let sending = self.flush(&mut state, mine);
            let landing = state.foreign_landing(mine);
            if landing.is_none() && self.receive(&mut state, mine) {
                continue;
            }
            if let Some(reason) = state.deaf.clone() {
                match landing {
                    // Only the owner of the buffer can tell whether there is more to read.
                    Some(owner) => state.hand_over(owner),
                    None => self.give_up(&mut state, &reason),
                }
                return state;
            }
            let write = sending != Sending::Done;
            state.waiting = Some(write);
            drop(state);
            let ready = self.stream.wait(true, write, deadline);
            state = self.lock();
            state.waiting = None;
            match ready {
                Err(error) => self.give_up(&mut state, &format!("waiting for the socket: {error}")),
                Ok(ready) => match (sending, landing) {
                    (Sending::Theirs(owner), _) if ready.write && state.waiters.get(owner).is_some() => {
                        state.hand_over(owner);
                        return state;
                    }
                    (_, Some(owner)) if ready.read => {
                        state.hand_over(owner);
                        return state;
                    }
                    _ if !(ready.read || ready.write || ready.woken) => return state,
                    _ => {}
                },
            }
        }
    }

    /// Sends until all is sent, the socket is full, or the next bytes are somebody else's.
    fn flush(&self, state: &mut State, mine: &Mine<'_>) -> Sending {
        while state.deaf.is_none() && state.engine.wants_write() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            let mut theirs = None;
            for segment in state.engine.outbound() {
                if count == PIECES {
                    break;
                }
                let bytes = match segment {
                    Segment::Framing(bytes) => bytes,
                    Segment::Payload { owner: cookie, range } => match (&mine.buffer, state.requests.get(cookie)) {
                        (Buffer::Write(buffer), _) if mine.is(cookie) => &buffer[range],
                        (_, Some(Request::Queued(queued))) => &queued.buffer[range],
                        (_, Some(Request::Call(call))) => {
                            theirs = Some(call.waiter);
                            break;
                        }
                        (_, None) => break,
                    },
                };
                pieces[count] = IoSlice::new(bytes);
                count += 1;
            }
            if count == 0 {
                return theirs.map_or(Sending::Done, Sending::Theirs);
            }
            match self.stream.try_send(&pieces[..count]) {
                Ok(Some(sent)) => state.engine.sent(sent),
                Ok(None) => return Sending::Full,
                // The server is gone, but what it said before that is still to be read.
                Err(error) => state.deaf = Some(format!("sending to the server: {error}")),
            }
        }
        Sending::Done
    }

    /// Receives once, in place where the bytes belong into a buffer at hand. Says whether anything came of it.
    fn receive(&self, state: &mut State, mine: &mut Mine<'_>) -> bool {
        let State { engine, requests, scratch, start, end, .. } = state;
        if *start > 0 {
            scratch.copy_within(*start..*end, 0);
            *end -= *start;
            *start = 0;
        }
        let landing = engine.landing();
        let mut pieces = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])];
        let mut first = 0;
        let mut in_place = 0;
        if let Some(landing) = landing {
            let buffer = match (&mut mine.buffer, requests.get_mut(landing.owner)) {
                (Buffer::Read(buffer), _) if mine.cookie == Some(landing.owner) => &mut buffer[landing.range],
                (_, Some(Request::Queued(queued))) => &mut queued.buffer[landing.range],
                _ => &mut [],
            };
            in_place = buffer.len();
            pieces[0] = IoSliceMut::new(buffer);
        } else {
            first = 1;
        }
        pieces[1] = IoSliceMut::new(&mut scratch[*end..]);
        match self.stream.try_recv(&mut pieces[first..]) {
            Ok(None) => return false,
            Ok(Some(0)) => engine.eof(),
            Ok(Some(count)) => {
                engine.landed(count.min(in_place));
                *end += count.saturating_sub(in_place);
            }
            Err(error) => engine.give_up(&format!("receiving from the server: {error}")),
        }
        true
    }

    /// Has the thread that waits for a queue look up.
    pub(crate) fn interrupt(&self, id: QueueId) {
        let mut state = self.lock();
        if !state.queues.interrupt(id) {
            return;
        }
        state.wake_first(|want| want == Want::Completion(id));
        if state.waiting.is_some() {
            // It may be the one that waits for the socket.
            self.stream.wake();
        }
    }

    /// Waits until nothing is in flight, sends `DISC`, and waits until the server has hung up, or for `patience`.
    pub(crate) fn shut_down(&self, patience: Duration) -> Result<(), crate::Error> {
        let quiet = |state: &State| state.engine.in_flight() == 0;
        let mut place = Place::new(self);
        let mut state = self.lock();
        let me = place.take(&mut state, Want::Quiet);
        // Otherwise other threads could go on for ever.
        state.close();
        state = self.wait(state, me, &mut Mine::nothing(), self.deadline(), quiet);
        let result = match state.engine.over() {
            Some(error) if *error != Ended::ByUs.into() => Err(error.clone().into()),
            _ => Ok(()),
        };
        if state.engine.over().is_none() {
            self.part(&mut state);
            // Some servers do not hang up. They have had their chance, and all that was asked is done.
            let deadline = Instant::now() + patience;
            let late = |_: &State| Instant::now() >= deadline;
            state = self.wait(state, me, &mut Mine::nothing(), Some(deadline), late);
            self.hang_up(&mut state);
        }
        place.leave(&mut state);
        result
    }

    /// Says goodbye, if that is due. "If the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft
    /// disconnect", and it "SHOULD wait until there are no inflight requests first" (spec, *Terminating the
    /// transmission phase*).
    fn part(&self, state: &mut State) {
        if state.closing && state.engine.in_flight() == 0 && state.engine.disconnect().is_ok() {
            self.kick(state, &Mine::nothing());
        }
    }

    /// The connection is over: the server need not wait for the last clone to go.
    fn hang_up(&self, state: &mut State) {
        if !state.hung_up {
            state.hung_up = true;
            self.stream.hang_up();
        }
    }
}

/// A thread's place among those who wait. To be made before the state is locked, so that it goes after the lock.
///
/// A thread that panics must not take the baton with it, nor leave the others without the news.
pub(crate) struct Place<'a> {
    shared: &'a Shared,
    id: Option<WaiterId>,
}

impl<'a> Place<'a> {
    pub(crate) const fn new(shared: &'a Shared) -> Self {
        Self { shared, id: None }
    }

    /// Whoever has a place can be handed the baton, and so has to be in [`Shared::wait`], or about to
    /// [`leave`](Self::leave), whenever it lets go of the lock.
    pub(crate) fn take(&mut self, state: &mut State, want: Want) -> WaiterId {
        let id = state.waiters.insert(Waiter::this_thread(want));
        self.id = Some(id);
        id
    }

    /// Gives the place up, and the baton with it. Returns how the waiter's request ended, if it had one.
    pub(crate) fn leave(&mut self, state: &mut State) -> Option<Outcome> {
        state.unregister(self.id.take()?)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.id.is_some() || thread::panicking() {
            // Finds out what happened, and tells everybody.
            let mut state = self.shared.lock();
            if let Some(me) = self.id.take() {
                state.unregister(me);
            }
        }
    }
}

impl Drop for Shared {
    /// Says goodbye as far as it goes without waiting.
    fn drop(&mut self) {
        let mut state = self.lock();
        // Refused where it was said before; it may still be on its way.
        let _ = state.engine.disconnect();
        self.flush(&mut state, &Mine::nothing());
    }
}

impl State {
    /// Takes a request, to be sent with the next [`Shared::kick`].
    pub(crate) fn submit(&mut self, command: Command, contexts: Option<&[ContextId]>) -> Result<Cookie, Refused> {
        match contexts {
            _ if self.closing => Err(Refused::Closed),
            None => self.engine.submit(command),
            Some(contexts) => self.engine.submit_for_contexts(command, contexts),
        }
    }

    /// Takes no more requests. Those who wait for room are to hear of it.
    fn close(&mut self) {
        self.closing = true;
        self.wake_first(|want| want == Want::Room);
    }

    fn unregister(&mut self, me: WaiterId) -> Option<Outcome> {
        let waiter = self.waiters.remove(me);
        if let Some(outcome) = waiter.as_ref().and_then(|waiter| waiter.outcome.as_ref()) {
            self.status_memory.release(&outcome.contexts);
        }
        if self.holder == Some(me) {
            self.holder = None;
            self.pass_on();
        }
        // There may be room for more than the one who was woken.
        self.wake_first(|want| want == Want::Room);
        waiter.and_then(|waiter| waiter.outcome)
    }

    /// Parses what is there. Returns the thread whose buffer the next bytes belong into, if there are any for it,
    /// or whose noted holes have become many.
    fn parse(&mut self, mine: &mut Mine<'_>) -> Option<WaiterId> {
        loop {
            let foreign = self.foreign_landing(mine);
            if foreign.is_some() && self.start < self.end {
                return foreign;
            }
            let State { engine, requests, status_memory, scratch, start, end, .. } = self;
            let Ok(advance) = engine.input(&scratch[*start..*end]) else { return None };
            *start += advance.consumed;
            let Some(event) = advance.event else {
                if advance.consumed == 0 {
                    return None;
                }
                continue;
            };
            match event {
                Event::Data { cookie, range, bytes } => match (&mut mine.buffer, requests.get_mut(cookie)) {
                    (Buffer::Read(buffer), _) if mine.cookie == Some(cookie) => buffer[range].copy_from_slice(bytes),
                    (_, Some(Request::Queued(queued))) => queued.buffer[range].copy_from_slice(bytes),
                    // The holder of that buffer has been given the baton before it could come to this.
                    _ => {}
                },
                Event::Hole { cookie, range } => match (&mut mine.buffer, requests.get_mut(cookie)) {
                    (Buffer::Read(buffer), _) if mine.cookie == Some(cookie) => buffer[range].fill(0),
                    (_, Some(Request::Queued(queued))) => queued.buffer[range].fill(0),
                    (_, Some(Request::Call(call))) => {
                        call.holes.push(range);
                        if call.holes.len() >= HOLES {
                            return Some(call.waiter);
                        }
                    }
                    (_, None) => {}
                },
                Event::Extents { cookie, context, extents } => {
                    if let Some(request) = requests.get_mut(cookie) {
                        request.add_extents(status_memory, context, extents);
                    }
                }
                // The first one is in `Done`.
                Event::Failure { .. } => {}
                Event::Done { cookie, result } => self.done(cookie, result),
            }
        }
    }

    /// Gives the result of a request to whoever waits for it.
    fn done(&mut self, cookie: Cookie, result: Result<(), CommandError>) {
        match self.requests.remove(cookie) {
            Some(Request::Call(call)) => {
                let (contexts, result) = call.status.finish(&self.status_memory, result);
                if let Some(waiter) = self.waiters.get_mut(call.waiter) {
                    waiter.outcome = Some(Outcome { result, contexts, holes: call.holes });
                    waiter.wake();
                } else {
                    self.status_memory.release(&contexts);
                }
            }
            Some(Request::Queued(queued)) => {
                let id = queued.queue;
                let (contexts, result) = queued.status.finish(&self.status_memory, result);
                let completion = Completion::new(cookie, (queued.command, queued.buffer), (contexts, result));
                self.queues.complete(id, completion, &mut self.status_memory);
                self.wake_first(|want| want == Want::Completion(id));
            }
            None => {}
        }
        if self.engine.is_shutting_down() {
            self.closing = true;
        }
        self.wake_first(|want| want == Want::Room);
        if self.engine.in_flight() == 0 {
            self.wake_first(|want| want == Want::Quiet);
        }
    }

    pub(crate) fn wake_first(&self, matches: impl Fn(Want) -> bool) {
        if let Some((_, waiter)) = self.waiters.iter().find(|(_, waiter)| matches(waiter.want)) {
            waiter.wake();
        }
    }

    /// Says why a command was not taken: where the connection is over, that is the reason.
    pub(crate) fn explain(&self, refused: Refused) -> crate::Error {
        match (refused, self.engine.over()) {
            (Refused::Closed, Some(error)) => error.clone().into(),
            (refused, _) => refused.into(),
        }
    }

    /// Once the connection is over: each request gets its end, and every waiter wakes to see it.
    fn settle(&mut self) {
        while let Ok(advance) = self.engine.input(&[]) {
            match advance.event {
                Some(Event::Done { cookie, result }) => self.done(cookie, result),
                Some(_) => {}
                None => break,
            }
        }
        for (_, waiter) in self.waiters.iter() {
            waiter.wake();
        }
    }

    /// The other thread into whose buffer the next bytes belong.
    fn foreign_landing(&self, mine: &Mine<'_>) -> Option<WaiterId> {
        let landing = self.engine.landing()?;
        if mine.is(landing.owner) {
            return None;
        }
        self.requests.call(landing.owner).map(|call| call.waiter)
    }

    fn hand_over(&mut self, to: WaiterId) {
        self.holder = Some(to);
        match self.waiters.get(to) {
            Some(waiter) => waiter.wake(),
            None => self.holder = None,
        }
    }

    /// Gives the baton, which nobody holds, to anybody who waits.
    fn pass_on(&mut self) {
        let next = self.waiters.iter().next().map(|(id, _)| id);
        if let Some(id) = next {
            self.hand_over(id);
        }
    }
}

/// Fills the parts of a read's buffer that somebody else noted as holes.
fn fill_holes(state: &mut State, mine: &mut Mine<'_>) {
    if let (Some(cookie), Buffer::Read(buffer)) = (mine.cookie, &mut mine.buffer) {
        if let Some(call) = state.requests.call_mut(cookie) {
            for range in call.holes.drain(..) {
                buffer[range].fill(0);
            }
        }
    }
}
