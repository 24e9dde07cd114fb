//! A queue on one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::transmission::{Command, StatusAnswer};
use nbd_proto::wire::number::ContextId;

use crate::baton::{Mine, Place, Shared, State};
use crate::queue::{Completion, Interrupted, Rejected, Ticket};
use crate::queues::QueueId;
use crate::table::{Queued, Request, Want};

/// What a [`Queue`](crate::Queue) is where the connection is not replaced.
#[derive(Debug)]
pub(crate) struct DirectQueue {
    shared: Arc<Shared>,
    id: QueueId,
    /// How long its owner has waited in all. Whether the server is slow shows only in that time: at others,
    /// maybe nobody reads what it says.
    clock: Duration,
}

/// Ends a wait of a [`DirectQueue`].
#[derive(Clone, Debug)]
pub(crate) struct DirectInterrupter {
    shared: Arc<Shared>,
    id: QueueId,
}

impl DirectQueue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let id = shared.lock().queues.enter();
        Self { shared, id, clock: Duration::ZERO }
    }

    /// Hands in a command; for `READ` and `WRITE` with a buffer as long as it says. A `BLOCK_STATUS` may be about some
    /// of the contexts only.
    pub(crate) fn submit(
        &mut self,
        command: Command,
        contexts: Option<&[ContextId]>,
        buffer: Vec<u8>,
    ) -> Result<Ticket, Rejected> {
        let _place = Place::new(&self.shared);
        let due = self.shared.request_timeout.and_then(|timeout| self.clock.checked_add(timeout));
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let cookie = match state.submit(command, contexts) {
            Ok(cookie) => cookie,
            Err(refused) => return Err(Rejected { error: state.explain(refused), buffer }),
        };
        let queued = Queued { queue: self.id, command, buffer, status: StatusAnswer::default(), due };
        state.requests.insert(cookie, Request::Queued(queued));
        state.queues.submitted(self.id);
        Ok(Ticket(cookie.0))
    }

    /// Sends what was handed in, as far as it goes without waiting.
    pub(crate) fn send(&mut self) {
        let _place = Place::new(&self.shared);
        self.shared.kick(&mut self.shared.lock(), &Mine::nothing());
    }

    /// Waits until there is a place for a request, whoever holds them all now, or the connection is over. Unlike
    /// [`wait`](Self::wait), it also helps where the places are those of other queues, or of one that was dropped.
    pub(crate) fn wait_for_room(&mut self) {
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
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.lock().queues.in_flight(self.id)
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        self.wait_until(false).ok().flatten()
    }

    pub(crate) fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        self.wait_until(true)
    }

    pub(crate) fn interrupter(&self) -> DirectInterrupter {
        DirectInterrupter { shared: self.shared.clone(), id: self.id }
    }

    fn wait_until(&mut self, interruptible: bool) -> Result<Option<Completion>, Interrupted> {
        let id = self.id;
        let finished = |state: &State| state.queues.is_over(id, interruptible);
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
        queues.take(id, interruptible, status_memory)
    }
}

impl DirectInterrupter {
    pub(crate) fn interrupt(&self) {
        self.shared.interrupt(self.id);
    }
}

/// When the first of a queue's requests is overdue, by the queue's clock.
fn earliest(state: &State, id: QueueId) -> Option<Duration> {
    state.requests.queued().filter(|queued| queued.queue == id).filter_map(|queued| queued.due).min()
}

impl Drop for DirectQueue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let State { queues, status_memory, .. } = &mut *state;
        queues.leave(self.id, status_memory);
    }
}
