//! The client's inside where a lost connection is replaced.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nbd_proto::error::Refused;
use nbd_proto::handshake::Negotiated;
use nbd_proto::resume::{End, Journal, same_export};
use nbd_proto::transmission::{Command, ContextExtents, StatusMemory};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::number::ContextId;

use super::carrier::{Carrier, Down, Up, outcome};
use super::fate::{Fate, may_pass};
use super::policy::{Reconnect, ReconnectEvent, Trouble};
use super::table::{Outcome, Owner, State};
use crate::baton::Buffer;
use crate::client::Client;
use crate::error::Error;
use crate::options::ConnectOptions;
use crate::queue::{Completion, Interrupted};

#[derive(Debug)]
pub(crate) struct Survivor {
    options: ConnectOptions,
    uri: NbdUri,
    policy: Reconnect,
    /// What the first connection agreed on, and each other one has to.
    first: Negotiated,
    state: Mutex<State>,
    /// Something has ended, or the carrier is free.
    news: Condvar,
}

impl Survivor {
    pub(crate) fn new(client: Client, policy: Reconnect, options: &ConnectOptions, uri: &NbdUri) -> Self {
        let first = client.negotiated().clone();
        let journal = Journal::new(&first, policy.journal);
        let queue = client.direct_queue();
        let memory = StatusMemory::new(options.max_status_memory);
        let state = State::new(journal, memory, queue.map(|queue| Up::new(client, queue, &first, None)));
        let options = options.clone().reconnect(None);
        Self { options, uri: uri.clone(), policy, first, state: Mutex::new(state), news: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell_all(&self) {
        self.news.notify_all();
    }

    pub(super) fn max_in_flight(&self) -> usize {
        self.options.engine.max_in_flight
    }

    /// Whether a command can be taken at all.
    pub(super) fn check(&self, state: &State, command: &Command) -> Result<(), Error> {
        if let Some(fate) = &state.fate {
            return Err(fate.clone().into());
        }
        if state.closing {
            return Err(Refused::Closed.into());
        }
        Ok(command.check(&self.first, self.options.engine.checks)?)
    }

    /// Sees a command to its end.
    pub(crate) fn execute(
        &self,
        command: Command,
        contexts: Option<&[ContextId]>,
        buffer: Buffer<'_>,
    ) -> Result<Vec<ContextExtents>, Error> {
        let bytes = match &buffer {
            Buffer::None => Vec::new(),
            Buffer::Read(buffer) => vec![0; buffer.len()],
            Buffer::Write(data) => data.to_vec(),
        };
        let limit = self.max_in_flight();
        let room = |state: &State| state.closing || state.journal.active() < limit;
        let mut state = self.drive(self.lock(), room);
        self.check(&state, &command)?;
        let id = state.enter(Owner::Call, command, contexts.map(<[_]>::to_vec), bytes);
        state = self.drive(state, |state| !state.is_awaited(id));
        let Some(outcome) = state.fetch(id) else { return Ok(Vec::new()) };
        drop(state);
        outcome.result?;
        if let Buffer::Read(buffer) = buffer {
            buffer.copy_from_slice(&outcome.buffer);
        }
        Ok(outcome.contexts)
    }

    /// Waits until nothing is in flight and nothing that was told is in doubt, and says goodbye.
    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.closing = true;
        self.tell_all();
        state = self.drive(state, |state| state.journal.active() == 0 && !state.is_in_doubt());
        match state.fate.clone() {
            Some(Fate::Closed) => return Ok(()),
            Some(fate) => return Err(fate.into()),
            None => state.end(Fate::Closed),
        }
        let carrier = state.carrier.take();
        drop(state);
        match carrier {
            Some(Carrier::Up(up)) => up.shut_down(),
            Some(Carrier::Down(_)) | None => Ok(()),
        }
    }

    /// Sends what can be sent without waiting.
    pub(super) fn send(&self) {
        let mut state = self.lock();
        match state.carrier.take() {
            Some(Carrier::Up(mut up)) => {
                state.load(&mut up);
                up.queue.send();
                state.carrier = Some(Carrier::Up(up));
            }
            carrier => {
                state.rings();
                state.carrier = carrier;
            }
        }
    }

    /// Waits, and moves things for all if nobody else does, until `finished` says so or the client is at its end.
    pub(super) fn drive<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        finished: impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        loop {
            if state.fate.is_some() || finished(&state) {
                return state;
            }
            let Some(carrier) = state.carrier.take() else {
                // Whoever has it learns of what is new.
                state.rings();
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let mut held = Held { survivor: self, carrier: None };
            held.carrier = match carrier {
                Carrier::Up(up) => {
                    drop(state);
                    Some(self.exchange(up))
                }
                Carrier::Down(down) => {
                    let now = Instant::now();
                    if now < down.next {
                        let pause = down.next - now;
                        state = self.news.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
                        drop(state);
                        Some(Carrier::Down(down))
                    } else {
                        drop(state);
                        self.attempt(down)
                    }
                }
            };
            state = held.give_back();
        }
    }

    /// Hands over what can go out, and takes what has come back.
    fn exchange(&self, mut up: Box<Up>) -> Carrier {
        self.lock().load(&mut up);
        if up.loss.is_none() {
            match up.queue.wait_or_interrupt() {
                Ok(Some(completion)) => self.settle(&mut up, completion),
                Ok(None) if up.tickets.is_empty() && self.lock().journal.active() > 0 => {
                    up.loss = Some(Error::Unsupported("no request gets on"));
                }
                Ok(None) | Err(Interrupted) => {}
            }
        }
        if up.loss.is_none() {
            return Carrier::Up(up);
        }
        // What came before the loss counts, and every buffer comes back.
        while let Some(completion) = up.queue.wait() {
            self.settle(&mut up, completion);
        }
        self.lost(*up)
    }

    /// Does what follows from the end of a command on its connection.
    fn settle(&self, up: &mut Up, completion: Completion) {
        let Some(id) = up.take(&completion) else { return };
        let Completion { result, buffer, mut contexts, .. } = completion;
        let mut state = self.lock();
        match state.journal.done(id, &outcome(&result)) {
            End::Told { keep } => {
                if result.is_ok() {
                    up.trouble = None;
                }
                up.ids.translate(&mut contexts);
                state.tell(id, Outcome { result, buffer, contexts }, keep);
            }
            End::Own => state.put(id, buffer),
            End::Again => {
                state.put(id, buffer);
                if let (None, Err(error)) = (&up.loss, result) {
                    up.loss = Some(error);
                }
            }
            End::Broken(broken) => {
                state.put(id, buffer);
                state.end(Fate::Broken(broken));
            }
        }
        state.forget_released();
        self.tell_all();
    }

    fn lost(&self, up: Up) -> Carrier {
        let down = up.into_down(&self.policy);
        self.policy.tell(&ReconnectEvent::Lost { error: &down.loss });
        let mut state = self.lock();
        state.journal.lost();
        state.bell = None;
        if !may_pass(&down.loss) && !matches!(*down.loss, Error::Command(_) | Error::Refused(_)) {
            let fate = match &*down.loss {
                Error::Connection(error) => Fate::Misbehaved(error.clone()),
                _ => down.not_restored(),
            };
            state.end(fate);
        }
        // A command that ends each connection it comes to would do so for ever.
        let now = Instant::now();
        if self.policy.total().is_some_and(|total| state.oldest_loss(now) >= total) {
            state.end(down.not_restored());
        }
        Carrier::Down(down)
    }

    /// Tries to connect. Nothing comes back if the client is at its end.
    fn attempt(&self, mut down: Down) -> Option<Carrier> {
        let left = self.policy.total().map(|total| total.saturating_sub(down.trouble.since.elapsed()));
        let left = left.map(|left| left.max(Duration::from_millis(1)));
        if self.policy.is_exhausted(down.trouble.attempts, down.trouble.since.elapsed()) {
            self.lock().end(down.not_restored());
            return Some(Carrier::Down(down));
        }
        down.trouble.attempts += 1;
        let connected = self.options.clone().within(left).connect_once(&self.uri);
        if let Err(error) = &connected {
            self.policy.tell(&ReconnectEvent::Failed { error, attempts: down.trouble.attempts });
        }
        let mut state = self.lock();
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                let passes = may_pass(&error);
                down.last = Arc::new(error);
                let Trouble { since, attempts } = down.trouble;
                if !passes || self.policy.is_exhausted(attempts, since.elapsed()) {
                    state.end(down.not_restored());
                } else {
                    down.next = self.policy.next(down.trouble);
                }
                return Some(Carrier::Down(down));
            }
        };
        if let Err(differs) = same_export(&self.first, client.negotiated()) {
            state.end(Fate::Changed(differs));
            return None;
        }
        self.policy.tell(&ReconnectEvent::Restored { attempts: down.trouble.attempts });
        let queue = client.direct_queue()?;
        let up = Up::new(client, queue, &self.first, Some(down.trouble));
        state.bell = Some(up.bell());
        state.journal.connected();
        Some(Carrier::Up(Box::new(up)))
    }
}

/// The carrier in the hands of a thread. If that panics (the only foreign code is an observer, or a subscriber to the
/// traces), it is gone, and everybody has to be told.
struct Held<'s> {
    survivor: &'s Survivor,
    carrier: Option<Carrier>,
}

impl<'s> Held<'s> {
    fn give_back(mut self) -> MutexGuard<'s, State> {
        let mut state = self.survivor.lock();
        state.carrier = self.carrier.take();
        if state.carrier.is_none() && state.fate.is_none() {
            state.end(Fate::Closed);
        }
        self.survivor.tell_all();
        state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "a thread panicked in the middle of a request".to_owned();
            let ended = nbd_proto::error::Ended::GivenUp { reason };
            self.survivor.lock().end(Fate::Misbehaved(ended.into()));
            self.survivor.tell_all();
        }
    }
}
