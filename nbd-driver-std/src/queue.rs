//! Many requests in flight from one thread: buffers are handed in, and come back with the results.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use nbd_proto::error::{CommandError, Refused};
use nbd_proto::transmission::Command;
use nbd_proto::wire::number::{CommandType, Cookie};

use crate::baton::{Mine, Shared, State};
use crate::client::ContextExtents;
use crate::error::Error;
use crate::table::{QueueId, QueueState, Queued, Request, Want};

/// Requests that one thread has in flight over a [`Client`](crate::Client)'s connection.
///
/// [`submit`](Self::submit) hands requests in; they leave, many by one system call, with the next
/// [`wait`](Self::wait) or [`send`](Self::send), and [`wait`](Self::wait) brings each back when it has ended, in
/// any order. A request is sent as it is: it is never split or padded. A queue that is dropped leaves its
/// requests to end by themselves.
///
/// ```no_run
/// # fn main() -> Result<(), nbd_driver_std::Error> {
/// # let client = nbd_driver_std::Client::connect("nbd://localhost")?;
/// let mut queue = client.queue();
/// for block in 0..16 {
///     queue.read(vec![0; 4096], block * 4096).map_err(|rejected| rejected.error)?;
/// }
/// while let Some(completion) = queue.wait() {
///     completion.result?;
///     println!("{} bytes at {}", completion.buffer.len(), completion.command.offset);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    id: QueueId,
}

/// Ends a wait of a [`Queue`] from another thread: see [`Queue::interrupter`].
#[derive(Clone, Debug)]
pub struct Interrupter {
    shared: Arc<Shared>,
    id: QueueId,
}

/// A wait that another thread ended. Requests are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another thread ended the wait")]
pub struct Interrupted;

/// The name of a request of a [`Queue`], unlike that of any other in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// A request that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// What [`Queue::submit`] returned for it.
    pub ticket: Ticket,
    /// The request.
    pub command: Command,
    /// Its buffer: for a `READ` that succeeded, filled; what a failed one holds means nothing.
    pub buffer: Vec<u8>,
    /// What a `BLOCK_STATUS` brought.
    pub contexts: Vec<ContextExtents>,
    /// How it ended.
    pub result: Result<(), Error>,
}

/// A request that was not taken, with its buffer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Rejected {
    /// Why. [`Refused::QueueFull`] means: wait for a completion first.
    pub error: Error,
    /// The buffer that was handed in.
    pub buffer: Vec<u8>,
}

impl Rejected {
    /// Whether it could be taken once another request has ended.
    pub fn is_full(&self) -> bool {
        matches!(self.error, Error::Refused(Refused::QueueFull { .. }))
    }
}

impl Completion {
    pub(crate) fn new(cookie: Cookie, queued: Queued, result: Result<(), CommandError>) -> Self {
        Self {
            ticket: Ticket(cookie.0),
            command: queued.command,
            buffer: queued.buffer,
            contexts: queued.contexts,
            result: result.map_err(Error::from),
        }
    }
}

impl Queue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.lock().queues.insert(QueueState::default());
        Self { shared, id }
    }

    /// Hands in a read of as many bytes as the buffer is long.
    pub fn read(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Ticket, Rejected> {
        self.submit(Command::read(offset, buffer.len() as u64), buffer)
    }

    /// Hands in a write of the whole buffer.
    pub fn write(&mut self, buffer: Vec<u8>, offset: u64) -> Result<Ticket, Rejected> {
        self.submit(Command::write(offset, buffer.len() as u64), buffer)
    }

    /// Hands in any command. For `READ` and `WRITE` the buffer must be as long as the command says; with others
    /// it is only carried along.
    pub fn submit(&mut self, command: Command, buffer: Vec<u8>) -> Result<Ticket, Rejected> {
        let with_data = matches!(command.command, CommandType::READ | CommandType::WRITE);
        if with_data && command.length != buffer.len() as u64 {
            let error = Error::Unsupported("the buffer is not as long as the command says");
            return Err(Rejected { error, buffer });
        }
        let deadline = self.shared.deadline();
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let cookie = match state.engine.submit(command) {
            Ok(cookie) => cookie,
            Err(refused) => return Err(Rejected { error: state.explain(refused), buffer }),
        };
        let queued = Queued { queue: self.id, command, buffer, contexts: Vec::new(), deadline };
        state.requests.insert(cookie, Request::Queued(queued));
        if let Some(queue) = state.queues.get_mut(self.id) {
            queue.in_flight += 1;
        }
        Ok(Ticket(cookie.0))
    }

    /// Sends what was handed in, as far as it goes without waiting.
    pub fn send(&mut self) {
        self.shared.kick(&mut self.shared.lock(), &Mine::nothing());
    }

    /// How many requests have not come back yet.
    pub fn in_flight(&self) -> usize {
        self.shared.lock().queues.get(self.id).map_or(0, |queue| queue.in_flight + queue.completions.len())
    }

    /// Waits until a request has ended. `None` when none is left.
    pub fn wait(&mut self) -> Option<Completion> {
        let id = self.id;
        let nothing_left = move |state: &State| state.queues.get(id).is_none_or(|queue| queue.in_flight == 0);
        self.wait_until(nothing_left).queues.get_mut(id)?.completions.pop_front()
    }

    /// The same, but an [`Interrupter`] can end the wait, or the next one if there is none now. Whoever has been
    /// interrupted may get a completion all the same, and should look for other work after each.
    pub fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        let id = self.id;
        let over =
            move |state: &State| state.queues.get(id).is_none_or(|queue| queue.in_flight == 0 || queue.interrupted);
        let mut state = self.wait_until(over);
        let Some(queue) = state.queues.get_mut(id) else { return Ok(None) };
        let interrupted = std::mem::take(&mut queue.interrupted);
        match queue.completions.pop_front() {
            None if interrupted => Err(Interrupted),
            completion => Ok(completion),
        }
    }

    /// What another thread can end a [`wait_or_interrupt`](Self::wait_or_interrupt) with.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { shared: self.shared.clone(), id: self.id }
    }

    /// Waits until there is a completion, or `over` says that there is no use.
    fn wait_until(&self, over: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let id = self.id;
        let finished =
            |state: &State| over(state) || state.queues.get(id).is_some_and(|queue| !queue.completions.is_empty());
        let mut state = self.shared.lock();
        if !finished(&state) {
            self.shared.kick(&mut state, &Mine::nothing());
            let deadline = earliest(&state, id);
            let me = state.register(Want::Completion(id));
            state = self.shared.wait(state, me, &mut Mine::nothing(), deadline, finished);
            state.unregister(me);
        }
        state
    }
}

impl Interrupter {
    /// Ends the wait that goes on, or else the next one.
    pub fn interrupt(&self) {
        self.shared.interrupt(self.id);
    }
}

/// When the first of a queue's requests is overdue.
fn earliest(state: &State, id: QueueId) -> Option<Instant> {
    state.requests.queued().filter(|queued| queued.queue == id).filter_map(|queued| queued.deadline).min()
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.queues.remove(self.id);
    }
}
