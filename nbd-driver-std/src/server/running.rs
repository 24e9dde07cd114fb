//! A server at work, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::accept;
use super::connections::Connections;
use super::link::Order;
use super::listener::Listener;
use super::site::Site;
use crate::error::Error;
use crate::waker::Waker;

/// How long a stop waits, after it has hung up on everybody, for calls of backends to return.
const LAST_MOMENT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) site: Arc<Site>,
    pub(super) connections: Arc<Connections>,
    /// Of the thread that accepts.
    pub(super) waker: Arc<Waker>,
    stopping: AtomicBool,
}

/// A server at work. Dropping it stops it and waits until it has stopped.
///
/// A stop takes these steps: no connection is taken in any more, and socket files are removed; clients that have
/// nothing in flight are hung up on at once; requests that have begun are finished and answered, and new ones get
/// `NBD_ESHUTDOWN`; what is left after the [grace](super::ServerOptions::stop_grace) is hung up on. A call that a
/// backend does not return from within a second more cannot be ended: its thread is left behind.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// Stops a server from anywhere.
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// What a server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many connections were taken in.
    pub connections: u64,
    /// How many of them could not be ended in time, because a backend did not return from a call. Threads, memory
    /// and the backend itself stay with such a call.
    pub left_behind: usize,
}

impl Running {
    pub(super) fn start(site: Site, listeners: Vec<Listener>) -> Result<Self, Error> {
        site.check()?;
        let waker = Arc::new(Waker::new()?);
        let connections = Arc::new(Connections::new(site.options.max_connections, waker.clone()));
        let shared = Arc::new(Shared { site: Arc::new(site), connections, waker, stopping: AtomicBool::new(false) });
        let run = {
            let shared = shared.clone();
            move || shared.run(listeners)
        };
        let thread = thread::Builder::new()
            .name("nbd-accept".into())
            .spawn(run)
            .map_err(|error| Error::io("starting the thread that accepts", error))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Begins to stop, and returns at once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// What can stop the server from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: self.shared.clone() }
    }

    /// Waits until the server was stopped, and all its connections are closed. Errors if accepting came to an end
    /// by itself.
    pub fn wait(mut self) -> Result<Summary, Error> {
        self.join()?;
        let connections = &self.shared.connections;
        Ok(Summary { connections: connections.taken_in(), left_behind: connections.all() })
    }

    /// How many clients use an export now.
    pub fn connections(&self) -> usize {
        self.shared.connections.established()
    }

    fn join(&mut self) -> Result<(), Error> {
        let panicked = Error::Unsupported("the thread that accepts panicked");
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(panicked)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        // Whoever wants to know waits.
        let _ = self.join();
    }
}

impl Stopper {
    /// Begins to stop the server, and returns at once.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// What the accepting thread does.
    fn run(self: &Arc<Self>, listeners: Vec<Listener>) -> Result<(), Error> {
        let accepted = accept::accept(self, &listeners);
        drop(listeners);
        self.connections.give_all(Order::Finish);
        let ended = self.wait_for_all(self.site.options.stop_grace)?;
        if !ended {
            tracing::warn!(connections = self.connections.all(), "hanging up on connections that did not end in time");
            self.connections.give_all(Order::Leave);
            self.wait_for_all(LAST_MOMENT)?;
        }
        self.connections.join_ended();
        accepted
    }

    /// Waits until no connection is left; `false` if that takes too long.
    fn wait_for_all(&self, patience: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(patience);
        while self.connections.all() > 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let mut fds = [PollFd::new(&*self.waker, PollFlags::IN)];
            if accept::wait(&mut fds, left)? {
                self.waker.clear();
            }
        }
        Ok(true)
    }
}
