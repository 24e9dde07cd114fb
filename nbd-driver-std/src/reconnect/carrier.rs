//! What commands go over: a connection, or the way to the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use nbd_proto::error::CommandError;
use nbd_proto::handshake::Negotiated;
use nbd_proto::resume::EntryId;

use super::fate::Fate;
use super::ids::Ids;
use super::policy::{Reconnect, Trouble};
use crate::client::Client;
use crate::direct::{DirectInterrupter, DirectQueue};
use crate::error::Error;
use crate::queue::{Completion, Ticket};

#[derive(Debug)]
pub(crate) enum Carrier {
    Up(Box<Up>),
    Down(Down),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Up {
    client: Client,
    pub(super) queue: DirectQueue,
    /// What is on it.
    pub(super) tickets: HashMap<Ticket, EntryId>,
    pub(super) ids: Ids,
    /// Why it is no use any longer.
    pub(super) loss: Option<Error>,
    /// What came before, until this connection has proved good.
    pub(super) trouble: Option<Trouble>,
}

/// No connection.
#[derive(Debug)]
pub(crate) struct Down {
    pub(super) trouble: Trouble,
    /// When to try next.
    pub(super) next: Instant,
    pub(super) loss: Arc<Error>,
    /// How the last attempt failed, or the connection if there was none.
    pub(super) last: Arc<Error>,
}

impl Up {
    /// `first` is what the first connection agreed on. The client must have a connection of its own.
    pub(super) fn new(client: Client, queue: DirectQueue, first: &Negotiated, trouble: Option<Trouble>) -> Self {
        let ids = Ids::new(&first.contexts, &client.negotiated().contexts);
        Self { client, queue, tickets: HashMap::new(), ids, loss: None, trouble }
    }

    pub(super) fn bell(&self) -> DirectInterrupter {
        self.queue.interrupter()
    }

    /// Which command has ended.
    pub(super) fn take(&mut self, completion: &Completion) -> Option<EntryId> {
        self.tickets.remove(&completion.ticket)
    }

    pub(super) fn shut_down(&self) -> Result<(), Error> {
        self.client.shutdown()
    }

    /// What follows when this connection is lost.
    pub(super) fn into_down(self, policy: &Reconnect) -> Down {
        let loss = self.loss.unwrap_or(Error::Unsupported("the connection was given up"));
        let trouble = self.trouble.unwrap_or(Trouble { since: Instant::now(), attempts: 0 });
        let loss = Arc::new(loss);
        Down { trouble, next: policy.next(trouble), loss: loss.clone(), last: loss }
    }
}

impl Down {
    pub(super) fn not_restored(&self) -> Fate {
        let Trouble { since, attempts } = self.trouble;
        Fate::NotRestored { loss: self.loss.clone(), attempts, after: since.elapsed(), last: self.last.clone() }
    }
}

/// How a command ended on its connection, in the words of the protocol.
pub(super) fn outcome(result: &Result<(), Error>) -> Result<(), CommandError> {
    match result {
        Ok(()) => Ok(()),
        Err(Error::Command(error)) => Err(error.clone()),
        Err(Error::Connection(error)) => Err(CommandError::Connection(error.clone())),
        // Nothing else ends a command that was sent.
        Err(other) => {
            let reason = other.to_string();
            Err(CommandError::Connection(nbd_proto::error::Ended::GivenUp { reason }.into()))
        }
    }
}
