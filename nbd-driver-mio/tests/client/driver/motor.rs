//! A client in its loop, and what has come back from it.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use nbd_driver_mio::nbd_proto::wire::number::Cookie;
use nbd_driver_mio::{Client, Completion, Turn};

use super::Loop;

/// The number of a queue.
pub(super) type Id = u64;

pub(super) struct Motor {
    event_loop: Loop,
    pub(super) client: Client,
    /// Whether a turn is due: after an event, the deadline, or a call that says so, or when the last turn did.
    due: bool,
    /// Who handed in what has not come back.
    owners: HashMap<Cookie, Id>,
    /// What came back, by owner. Owners who are not here do not want it any more.
    pub(super) queues: HashMap<Id, VecDeque<Completion>>,
    next: Id,
}

impl Motor {
    /// A client that is registered in this loop.
    pub(super) fn new(event_loop: Loop, client: Client) -> Self {
        Self { event_loop, client, due: true, owners: HashMap::new(), queues: HashMap::new(), next: 0 }
    }

    pub(super) fn new_queue(&mut self) -> Id {
        self.next += 1;
        self.queues.insert(self.next, VecDeque::new());
        self.next
    }

    /// The client was handed a request on behalf of this queue.
    pub(super) fn submitted(&mut self, cookie: Cookie, id: Id) {
        assert!(self.owners.insert(cookie, id).is_none(), "{cookie:?} is in flight already");
        self.due = true;
    }

    pub(super) fn disconnect(&mut self) {
        self.client.disconnect();
        self.due = true;
    }

    pub(super) fn in_flight(&self, id: Id) -> usize {
        self.owners.values().filter(|owner| **owner == id).count()
    }

    /// Does all that can be done without waiting.
    pub(super) fn run(&mut self) {
        while self.due {
            self.turn();
        }
    }

    /// Does what can be done, and waits for more, until there is what the caller wants. It has to come.
    pub(super) fn run_until(&mut self, finished: impl Fn(&Self) -> bool) {
        while !finished(self) {
            if self.due {
                self.turn();
            } else {
                assert!(self.client.end().is_none(), "the connection is over, and something is still awaited");
                self.event_loop.wait(self.client.deadline(), |event| self.client.ready(event));
                self.due = true;
            }
        }
    }

    fn turn(&mut self) {
        let turn = self.client.turn(&mut self.event_loop.scratch, Instant::now());
        self.due = turn == Turn::Again;
        assert_eq!(turn == Turn::Over, self.client.end().is_some());
        while let Some(done) = self.client.completion() {
            let owner = self.owners.remove(&done.cookie).expect("it ended twice, or was never handed in");
            if let Some(queue) = self.queues.get_mut(&owner) {
                queue.push_back(done);
            }
        }
    }
}
