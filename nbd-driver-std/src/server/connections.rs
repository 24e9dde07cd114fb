//! All connections of a server: how many there may be, and who has to go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::link::{Link, Order};
use crate::stream::Stream;
use crate::waker::Waker;

#[derive(Debug)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// How many may use exports, and how many may be in the handshake.
    limit: usize,
    /// Told of each end.
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct State {
    /// By age.
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Threads whose connections are over.
    ended: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Entry {
    link: Arc<Link>,
    phase: Phase,
    since: Instant,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In the handshake.
    HalfOpen,
    /// In the handshake, and told to leave.
    Dropped,
    /// Uses an export, or is about to.
    Established,
}

/// A connection's place among all; dropped at its end.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) link: Arc<Link>,
}

impl Connections {
    pub(super) fn new(limit: usize, waker: Arc<Waker>) -> Self {
        Self { state: Mutex::default(), limit, waker }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more has to wait: even those that were dropped have not left yet.
    pub(super) fn is_full(&self) -> bool {
        let state = self.lock();
        state.entries.len() - state.count(Phase::Established) >= self.limit.saturating_mul(2)
    }

    /// Takes a connection in. If too many are in the handshake, the oldest of them is dropped.
    pub(super) fn enter(self: &Arc<Self>, stream: Stream, peer: String) -> Place {
        let link = Arc::new(Link::new(stream, peer));
        let mut state = self.lock();
        let full = state.count(Phase::HalfOpen) >= self.limit;
        let dropped = if full { state.drop_oldest(Duration::ZERO) } else { None };
        let number = state.next;
        state.next += 1;
        let entry = Entry { link: link.clone(), phase: Phase::HalfOpen, since: Instant::now(), thread: None };
        state.entries.insert(number, entry);
        drop(state);
        send_away(dropped.as_deref());
        Place { connections: self.clone(), number, link }
    }

    /// Drops the oldest in the handshake, if it has been there for so long: the system has no room for newer ones.
    pub(super) fn make_room(&self, patience: Duration) {
        let dropped = self.lock().drop_oldest(patience);
        send_away(dropped.as_deref());
    }

    /// How many use an export.
    pub(super) fn established(&self) -> usize {
        self.lock().count(Phase::Established)
    }

    /// How many there are, those in the handshake included.
    pub(super) fn all(&self) -> usize {
        self.lock().entries.len()
    }

    /// How many have ever been taken in.
    pub(super) fn taken_in(&self) -> u64 {
        self.lock().next
    }

    pub(super) fn give_all(&self, order: Order) {
        for entry in self.lock().entries.values() {
            entry.link.give(order);
        }
    }

    /// Waits for the threads of connections that are over, which takes no time.
    pub(super) fn join_ended(&self) {
        let ended = std::mem::take(&mut self.lock().ended);
        for thread in ended {
            // What it panicked with was told when it happened.
            let _ = thread.join();
        }
    }
}

impl State {
    fn count(&self, phase: Phase) -> usize {
        self.entries.values().filter(|entry| entry.phase == phase).count()
    }

    /// Takes the oldest connection in the handshake for dropped, if it has been there for so long.
    fn drop_oldest(&mut self, patience: Duration) -> Option<Arc<Link>> {
        let oldest = self.entries.values_mut().find(|entry| entry.phase == Phase::HalfOpen)?;
        if oldest.since.elapsed() < patience {
            return None;
        }
        oldest.phase = Phase::Dropped;
        Some(oldest.link.clone())
    }
}

/// Ends a connection that was dropped. Not under the lock: who listens to the traces may be slow.
fn send_away(dropped: Option<&Link>) {
    if let Some(link) = dropped {
        tracing::warn!(peer = link.peer, "dropped in the handshake, since newer clients wait");
        link.give(Order::Leave);
    }
}

impl Place {
    /// Runs the connection in a thread of its own.
    pub(super) fn spawn(self, run: impl FnOnce(Self) + Send + 'static) -> std::io::Result<()> {
        let connections = self.connections.clone();
        let number = self.number;
        // A failure drops the place, which takes the lock.
        let builder = thread::Builder::new().name("nbd-connection".into());
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Self>(1);
        let thread = builder.spawn(move || {
            // The place comes when the thread is known, so that it cannot end unknown.
            if let Ok(place) = receiver.recv() {
                run(place);
            }
        })?;
        if let Some(entry) = connections.lock().entries.get_mut(&number) {
            entry.thread = Some(thread);
        }
        let _ = sender.send(self);
        Ok(())
    }

    /// The client is about to use an export. Errors with the number of those that do, if they are too many.
    pub(super) fn establish(&self) -> Result<(), usize> {
        let mut state = self.connections.lock();
        let others = state.count(Phase::Established);
        if others >= self.connections.limit {
            return Err(others);
        }
        state.change(self.number, Phase::HalfOpen, Phase::Established);
        Ok(())
    }

    /// It did not come to that.
    pub(super) fn step_back(&self) {
        self.connections.lock().change(self.number, Phase::Established, Phase::HalfOpen);
    }
}

impl State {
    fn change(&mut self, number: u64, from: Phase, to: Phase) {
        if let Some(entry) = self.entries.get_mut(&number) {
            if entry.phase == from {
                entry.phase = to;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        let thread = state.entries.remove(&self.number).and_then(|entry| entry.thread);
        state.ended.extend(thread);
        drop(state);
        self.connections.waker.wake();
    }
}
