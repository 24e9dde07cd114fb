//! Many requests in flight from one thread: buffers are handed in, and come back with the results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::error::{CommandError, Refused};
use nbd_proto::transmission::{Command, ContextExtents, StatusAnswer};
use nbd_proto::wire::number::{CommandType, Cookie};

use crate::baton::{Mine, Place, Shared, State};
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
    /// How long its owner has waited in all. Whether the server is slow shows only in that time: at others,
    /// maybe nobody reads what it says.
    clock: Duration,
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
    /// Why. [`Refused::QueueFull`] means: [wait](Queue::wait) for a completion first, or
    /// [for room](Queue::wait_for_room) if this queue has nothing in flight.
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
    pub(crate) fn new(
        cookie: Cookie,
        (command, buffer): (Command, Vec<u8>),
        (contexts, result): (Vec<ContextExtents>, Result<(), CommandError>),
    ) -> Self {
        Self { ticket: Ticket(cookie.0), command, buffer, contexts, result: result.map_err(Error::from) }
    }
}

impl Queue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.lock().queues.insert(QueueState::default());
        Self { shared, id, clock: Duration::ZERO }
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
        let _place = Place::new(&self.shared);
        let due = self.shared.request_timeout.and_then(|timeout| self.clock.checked_add(timeout));
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let cookie = match state.submit(command, None) {
            Ok(cookie) => cookie,
            Err(refused) => return Err(Rejected { error: state.explain(refused), buffer }),
        };
        let queued = Queued { queue: self.id, command, buffer, status: StatusAnswer::default(), due };
        state.requests.insert(cookie, Request::Queued(queued));
        if let Some(queue) = state.queues.get_mut(self.id) {
            queue.in_flight += 1;
        }
        Ok(Ticket(cookie.0))
    }

    /// Sends what was handed in, as far as it goes without waiting.
    pub fn send(&mut self) {
        let _place = Place::new(&self.shared);
        self.shared.kick(&mut self.shared.lock(), &Mine::nothing());
    }

    /// Waits until there is a place for a request, whoever holds them all now, or the connection is over. Unlike
    /// [`wait`](Self::wait), it also helps where the places are those of other queues, or of one that was dropped.
    pub fn wait_for_room(&mut self) {
        let room = |state: &State| state.closing || state.engine.room() > 0;
        let mut place = Place::new(&self.shared);
        let mut state = self.shared.lock();
        if !room(&state) {
            self.shared.kick(&mut state, &Mine::nothing());
            let me = place.take(&mut state, Want::Room);
            state = self.shared.wait(state, me, &mut Mine::nothing(), self.shared.deadline(), room);
            place.leave(&mut state);
        }
    }

    /// How many requests have not come back yet.
    pub fn in_flight(&self) -> usize {
        self.shared.lock().queues.get(self.id).map_or(0, |queue| queue.in_flight + queue.completions.len())
    }

    /// Waits until a request has ended. `None` when none is left.
    pub fn wait(&mut self) -> Option<Completion> {
        self.wait_until(|_| false).ok().flatten()
    }

    /// The same, but an [`Interrupter`] can end the wait, or the next one if there is none now. Whoever has been
    /// interrupted may get a completion all the same, and should look for other work after each.
    pub fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        self.wait_until(|queue| queue.interrupted)
    }

    /// What another thread can end a [`wait_or_interrupt`](Self::wait_or_interrupt) with.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { shared: self.shared.clone(), id: self.id }
    }

    /// Waits until there is a completion, nothing to wait for, or `ended` says that it is time.
    fn wait_until(&mut self, ended: impl Fn(&QueueState) -> bool) -> Result<Option<Completion>, Interrupted> {
        let id = self.id;
        let finished = |state: &State| {
            let over = |queue: &QueueState| !queue.completions.is_empty() || queue.in_flight == 0 || ended(queue);
            state.queues.get(id).is_none_or(over)
        };
        let mut place = Place::new(&self.shared);
        let mut state = self.shared.lock();
        if !finished(&state) {
            self.shared.kick(&mut state, &Mine::nothing());
            let started = Instant::now();
            let due = self.shared.request_timeout.and_then(|_| earliest(&state, id));
            let deadline = due.and_then(|due| started.checked_add(due.saturating_sub(self.clock)));
            let me = place.take(&mut state, Want::Completion(id));
            state = self.shared.wait(state, me, &mut Mine::nothing(), deadline, finished);
            place.leave(&mut state);
            self.clock = self.clock.saturating_add(started.elapsed());
        }
        let State { queues, status_memory, .. } = &mut *state;
        let Some(queue) = queues.get_mut(id) else { return Ok(None) };
        let interrupted = ended(queue);
        queue.interrupted &= !interrupted;
        match queue.completions.pop_front() {
            None if interrupted => Err(Interrupted),
            completion => {
                if let Some(taken) = &completion {
                    status_memory.release(&taken.contexts);
                }
                Ok(completion)
            }
        }
    }
}

impl Interrupter {
    /// Ends the wait that goes on, or else the next one.
    pub fn interrupt(&self) {
        self.shared.interrupt(self.id);
    }
}

/// When the first of a queue's requests is overdue, by the queue's clock.
fn earliest(state: &State, id: QueueId) -> Option<Duration> {
    state.requests.queued().filter(|queued| queued.queue == id).filter_map(|queued| queued.due).min()
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let State { queues, status_memory, .. } = &mut *state;
        let Some(queue) = queues.get_mut(self.id) else { return };
        queue.completions.drain(..).for_each(|dropped| status_memory.release(&dropped.contexts));
        if queue.in_flight > 0 {
            queue.dropped = true;
        } else {
            queues.remove(self.id);
        }
    }
}
