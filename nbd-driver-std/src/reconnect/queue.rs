//! A queue on one connection after the other.

use std::sync::Arc;

use nbd_proto::error::Refused;
use nbd_proto::transmission::Command;

use super::survivor::Survivor;
use super::table::{Owner, State};
use crate::queue::{Completion, Interrupted, Rejected, Ticket};
use crate::table::{QueueId, QueueState};

/// What a [`Queue`](crate::Queue) is where a lost connection is replaced.
#[derive(Debug)]
pub(crate) struct SurvivingQueue {
    survivor: Arc<Survivor>,
    id: QueueId,
}

/// Ends a wait of a [`SurvivingQueue`].
#[derive(Clone, Debug)]
pub(crate) struct SurvivingInterrupter {
    survivor: Arc<Survivor>,
    id: QueueId,
}

impl SurvivingQueue {
    pub(crate) fn new(survivor: Arc<Survivor>) -> Self {
        let id = survivor.lock().queues.insert(QueueState::default());
        Self { survivor, id }
    }

    pub(crate) fn submit(&mut self, command: Command, buffer: Vec<u8>) -> Result<Ticket, Rejected> {
        let mut state = self.survivor.lock();
        let limit = self.survivor.max_in_flight();
        let refused = match self.survivor.check(&state, &command) {
            Ok(()) if state.journal.active() >= limit => Some(Refused::QueueFull { limit }.into()),
            Ok(()) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            return Err(Rejected { error, buffer });
        }
        let id = state.enter(Owner::Queue(self.id), command, None, buffer);
        if let Some(queue) = state.queues.get_mut(self.id) {
            queue.in_flight += 1;
        }
        Ok(Ticket(id.number()))
    }

    pub(crate) fn send(&mut self) {
        self.survivor.send();
    }

    pub(crate) fn wait_for_room(&mut self) {
        let limit = self.survivor.max_in_flight();
        let room = |state: &State| state.closing || state.journal.active() < limit;
        drop(self.survivor.drive(self.survivor.lock(), room));
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.survivor.lock().queues.get(self.id).map_or(0, |queue| queue.in_flight + queue.completions.len())
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        self.wait_until(|_| false).ok().flatten()
    }

    pub(crate) fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        self.wait_until(|queue| queue.interrupted)
    }

    pub(crate) fn interrupter(&self) -> SurvivingInterrupter {
        SurvivingInterrupter { survivor: self.survivor.clone(), id: self.id }
    }

    fn wait_until(&mut self, ended: impl Fn(&QueueState) -> bool) -> Result<Option<Completion>, Interrupted> {
        let id = self.id;
        let over = |queue: &QueueState| !queue.completions.is_empty() || queue.in_flight == 0 || ended(queue);
        let finished = |state: &State| state.queues.get(id).is_none_or(over);
        let mut state = self.survivor.drive(self.survivor.lock(), finished);
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

impl SurvivingInterrupter {
    pub(crate) fn interrupt(&self) {
        let mut state = self.survivor.lock();
        let Some(queue) = state.queues.get_mut(self.id) else { return };
        queue.interrupted = true;
        state.rings();
        self.survivor.tell_all();
    }
}

impl Drop for SurvivingQueue {
    fn drop(&mut self) {
        let mut state = self.survivor.lock();
        let State { queues, status_memory, .. } = &mut *state;
        let Some(queue) = queues.get_mut(self.id) else { return };
        for dropped in queue.completions.drain(..) {
            status_memory.release(&dropped.contexts);
        }
        if queue.in_flight > 0 {
            queue.dropped = true;
        } else {
            queues.remove(self.id);
        }
    }
}
