//! What is kept beside the journal: whose command is whose, and the bytes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nbd_proto::resume::{EntryId, Journal};
use nbd_proto::transmission::{Command, ContextExtents, StatusMemory};
use nbd_proto::wire::number::{CommandType, ContextId};

use super::carrier::{Carrier, Up};
use super::fate::Fate;
use crate::direct::DirectInterrupter;
use crate::error::Error;
use crate::queue::{Completion, Ticket};
use crate::queues::{QueueId, Queues};

#[derive(Debug)]
pub(crate) struct State {
    pub(super) journal: Journal,
    pub(super) entries: HashMap<EntryId, Entry>,
    pub(super) queues: Queues,
    /// What nobody has taken from the queues.
    pub(super) status_memory: StatusMemory,
    /// The connection, unless a thread has it.
    pub(super) carrier: Option<Carrier>,
    /// Has the thread that waits for the connection look up.
    pub(super) bell: Option<DirectInterrupter>,
    /// No further commands.
    pub(super) closing: bool,
    pub(super) fate: Option<Fate>,
}

/// A command that has not been told, or a write that may have to be sent again.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) command: Command,
    /// Which contexts are asked, by their ids on the first connection.
    pub(super) contexts: Option<Vec<ContextId>>,
    /// Away while the command is on the connection.
    pub(super) buffer: Vec<u8>,
    /// When it was first there as a connection was lost.
    pub(super) in_doubt_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Owner {
    /// A thread that waits for the end.
    Call,
    Queue(QueueId),
    /// Nobody waits any longer.
    Journal,
    /// The end, until its thread fetches it.
    Ended(Outcome),
}

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<(), Error>,
    pub(super) buffer: Vec<u8>,
    pub(super) contexts: Vec<ContextExtents>,
}

impl State {
    pub(super) fn new(journal: Journal, status_memory: StatusMemory, up: Option<Up>) -> Self {
        let bell = up.as_ref().map(Up::bell);
        let carrier = up.map(|up| Carrier::Up(Box::new(up)));
        let (entries, queues) = (HashMap::new(), Queues::new());
        Self { journal, entries, queues, status_memory, carrier, bell, closing: false, fate: None }
    }

    pub(super) fn enter(
        &mut self,
        owner: Owner,
        command: Command,
        contexts: Option<Vec<ContextId>>,
        buffer: Vec<u8>,
    ) -> EntryId {
        let id = self.journal.submit(command);
        self.entries.insert(id, Entry { owner, command, contexts, buffer, in_doubt_since: None });
        id
    }

    /// Whether the thread of a command has to wait on.
    pub(super) fn is_awaited(&self, id: EntryId) -> bool {
        self.entries.get(&id).is_some_and(|entry| matches!(entry.owner, Owner::Call))
    }

    /// How the command of a thread ended. A write whose bytes are kept leaves nothing to fetch: it has succeeded.
    pub(super) fn fetch(&mut self, id: EntryId) -> Option<Outcome> {
        match self.entries.remove(&id)? {
            Entry { owner: Owner::Ended(outcome), .. } => Some(outcome),
            entry => {
                self.entries.insert(id, entry);
                None
            }
        }
    }

    /// Hands everything to the connection that may go out now.
    pub(super) fn load(&mut self, up: &mut Up) {
        while up.loss.is_none() {
            let Some((id, command)) = self.journal.next_to_send() else { break };
            let entry = self.entries.get_mut(&id);
            let (buffer, contexts) = entry.map_or_else(Default::default, |entry| {
                let contexts = entry.contexts.as_ref().map(|contexts| up.ids.here(contexts));
                (std::mem::take(&mut entry.buffer), contexts)
            });
            match up.queue.submit(command, contexts.as_deref(), buffer) {
                Ok(ticket) => drop(up.tickets.insert(ticket, id)),
                Err(rejected) => {
                    self.journal.put_back(id);
                    let full = rejected.is_full();
                    self.put(id, rejected.buffer);
                    if !full {
                        up.loss = Some(rejected.error);
                    }
                    break;
                }
            }
        }
    }

    /// The bytes of a command are back from the connection.
    pub(super) fn put(&mut self, id: EntryId, buffer: Vec<u8>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.buffer = buffer;
        }
    }

    /// Lets go of what need not be sent again.
    pub(super) fn forget_released(&mut self) {
        while let Some(id) = self.journal.released() {
            self.entries.remove(&id);
        }
    }

    /// Whether something that was told may not be on the server.
    pub(super) fn is_in_doubt(&self) -> bool {
        let down = !matches!(self.carrier, Some(Carrier::Up(_)));
        self.journal.kept() > 0 && (down || self.journal.is_replaying())
    }

    /// For how long a command has been sent again and again, at the most.
    pub(super) fn oldest_loss(&mut self, now: Instant) -> Duration {
        let unended = self.entries.values_mut().filter(|entry| matches!(entry.owner, Owner::Call | Owner::Queue(_)));
        let since = unended.map(|entry| *entry.in_doubt_since.get_or_insert(now)).min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn rings(&self) {
        if let Some(bell) = &self.bell {
            bell.interrupt();
        }
    }

    /// Gives the end of a command to whoever waits for it. The bytes of a write may have to be kept as well.
    pub(super) fn tell(&mut self, id: EntryId, outcome: Outcome, keep: bool) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let Entry { owner, command, .. } = entry;
        let Outcome { result, mut buffer, contexts } = outcome;
        let kept = (keep && command.command == CommandType::WRITE).then(|| match owner {
            Owner::Queue(_) => buffer.clone(),
            // The thread has the bytes itself.
            Owner::Call | Owner::Journal | Owner::Ended(_) => std::mem::take(&mut buffer),
        });
        match owner {
            Owner::Call if kept.is_none() => {
                let owner = Owner::Ended(Outcome { result, buffer, contexts });
                self.entries
                    .insert(id, Entry { owner, command, contexts: None, buffer: Vec::new(), in_doubt_since: None });
                return;
            }
            Owner::Queue(queue) => {
                let completion = Completion { ticket: Ticket(id.number()), command, buffer, contexts, result };
                self.complete(queue, completion);
            }
            Owner::Call | Owner::Journal | Owner::Ended(_) => {}
        }
        if let Some(buffer) = kept {
            self.entries
                .insert(id, Entry { owner: Owner::Journal, command, contexts: None, buffer, in_doubt_since: None });
        }
    }

    fn complete(&mut self, id: QueueId, mut completion: Completion) {
        if let Err(error) = self.status_memory.claim(&completion.contexts) {
            completion.contexts = Vec::new();
            completion.result = completion.result.and(Err(error.into()));
        }
        self.queues.complete(id, completion, &mut self.status_memory);
    }

    /// Nothing more is sent: everybody is told.
    pub(super) fn end(&mut self, fate: Fate) {
        let waiting: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.owner, Owner::Call | Owner::Queue(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let buffer = self.entries.get_mut(&id).map(|entry| std::mem::take(&mut entry.buffer)).unwrap_or_default();
            self.tell(id, Outcome { result: Err(fate.clone().into()), buffer, contexts: Vec::new() }, false);
        }
        self.entries.retain(|_, entry| matches!(entry.owner, Owner::Ended(_)));
        self.fate.get_or_insert(fate);
    }
}
