//! A queue on one connection after the other.

use std::sync::Arc;

use nbd_proto::error::Refused;
use nbd_proto::transmission::Command;

use super::survivor::Survivor;
use super::table::{Owner, State};
use crate::queue::{Completion, Interrupted, Rejected, Ticket};
use crate::queues::QueueId;

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
        let id = survivor.lock().queues.enter();
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
        state.queues.submitted(self.id);
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
        self.survivor.lock().queues.in_flight(self.id)
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        self.wait_until(false).ok().flatten()
    }

    pub(crate) fn wait_or_interrupt(&mut self) -> Result<Option<Completion>, Interrupted> {
        self.wait_until(true)
    }

    pub(crate) fn interrupter(&self) -> SurvivingInterrupter {
        SurvivingInterrupter { survivor: self.survivor.clone(), id: self.id }
    }

    fn wait_until(&mut self, interruptible: bool) -> Result<Option<Completion>, Interrupted> {
        let id = self.id;
        let finished = |state: &State| state.queues.is_over(id, interruptible);
        let mut state = self.survivor.drive(self.survivor.lock(), finished);
        let State { queues, status_memory, .. } = &mut *state;
        queues.take(id, interruptible, status_memory)
    }
}

impl SurvivingInterrupter {
    pub(crate) fn interrupt(&self) {
        let mut state = self.survivor.lock();
        if state.queues.interrupt(self.id) {
            state.rings();
            self.survivor.tell_all();
        }
    }
}

impl Drop for SurvivingQueue {
    fn drop(&mut self) {
        let mut state = self.survivor.lock();
        let State { queues, status_memory, .. } = &mut *state;
        queues.leave(self.id, status_memory);
    }
}
