//! The queues of a client: how much each waits for, and what has come back for it.

use std::collections::VecDeque;

use nbd_proto::transmission::StatusMemory;

use crate::queue::{Completion, Interrupted};
use crate::table::Slab;

/// The number of a queue.
pub(crate) type QueueId = usize;

/// The queues by their numbers. Answers to block status count in the `memory` of the caller until they are taken.
#[derive(Debug)]
pub(crate) struct Queues(Slab<Kept>);

/// What a queue has to be told.
#[derive(Debug, Default)]
struct Kept {
    in_flight: usize,
    /// Somebody wants the thread that waits to look at something else.
    interrupted: bool,
    completions: VecDeque<Completion>,
    /// The queue was dropped. Its number must not go to another one while requests bear it.
    dropped: bool,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Self(Slab::new())
    }

    pub(crate) fn enter(&mut self) -> QueueId {
        self.0.insert(Kept::default())
    }

    /// The queue waits for one request more.
    pub(crate) fn submitted(&mut self, id: QueueId) {
        if let Some(queue) = self.0.get_mut(id) {
            queue.in_flight += 1;
        }
    }

    /// How many requests have not been taken yet.
    pub(crate) fn in_flight(&self, id: QueueId) -> usize {
        self.0.get(id).map_or(0, |queue| queue.in_flight + queue.completions.len())
    }

    /// Whether there is a completion, nothing to wait for, or an interruption that is asked about.
    pub(crate) fn is_over(&self, id: QueueId, interruptible: bool) -> bool {
        self.0.get(id).is_none_or(|queue| {
            !queue.completions.is_empty() || queue.in_flight == 0 || interruptible && queue.interrupted
        })
    }

    /// What a wait has come to. An interruption that is told is over.
    pub(crate) fn take(
        &mut self,
        id: QueueId,
        interruptible: bool,
        memory: &mut StatusMemory,
    ) -> Result<Option<Completion>, Interrupted> {
        let Some(queue) = self.0.get_mut(id) else { return Ok(None) };
        let interrupted = interruptible && std::mem::take(&mut queue.interrupted);
        match queue.completions.pop_front() {
            None if interrupted => Err(Interrupted),
            completion => {
                if let Some(taken) = &completion {
                    memory.release(&taken.contexts);
                }
                Ok(completion)
            }
        }
    }

    /// One of the requests of a queue has come to its end.
    pub(crate) fn complete(&mut self, id: QueueId, completion: Completion, memory: &mut StatusMemory) {
        let Some(queue) = self.0.get_mut(id) else { return memory.release(&completion.contexts) };
        queue.in_flight -= 1;
        if !queue.dropped {
            return queue.completions.push_back(completion);
        }
        memory.release(&completion.contexts);
        if queue.in_flight == 0 {
            self.0.remove(id);
        }
    }

    /// Whether there is such a queue: its wait is over as soon as it looks up.
    pub(crate) fn interrupt(&mut self, id: QueueId) -> bool {
        self.0.get_mut(id).map(|queue| queue.interrupted = true).is_some()
    }

    /// Nobody waits for it any more.
    pub(crate) fn leave(&mut self, id: QueueId, memory: &mut StatusMemory) {
        let Some(queue) = self.0.get_mut(id) else { return };
        for dropped in queue.completions.drain(..) {
            memory.release(&dropped.contexts);
        }
        if queue.in_flight > 0 {
            queue.dropped = true;
        } else {
            self.0.remove(id);
        }
    }
}
