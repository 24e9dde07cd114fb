//! A server at work, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use mio::Waker;
use nbd_driver_std::Error;

use super::event_loop::EventLoop;
use super::jobs::Outcome;

/// What the loop is told by other threads.
pub(super) enum Order {
    Stop,
    /// What became of a request of a connection.
    Answer(usize, Outcome),
}

pub(crate) struct Running {
    stopper: Stopper,
    established: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Summary>>,
}

#[derive(Clone)]
pub(crate) struct Stopper {
    orders: Sender<Order>,
    waker: Arc<Waker>,
}

/// What a server did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) connections: u64,
    pub(crate) left_behind: usize,
}

impl Running {
    pub(super) fn start(event_loop: EventLoop, orders: Sender<Order>, established: Arc<AtomicUsize>) -> Self {
        let stopper = Stopper { orders, waker: event_loop.waker() };
        Self { stopper, established, thread: Some(thread::spawn(move || event_loop.run())) }
    }

    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// How many clients use an export now.
    pub(crate) fn connections(&self) -> usize {
        self.established.load(Ordering::SeqCst)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the threaded server has it")]
    pub(crate) fn wait(mut self) -> Result<Summary, Error> {
        Ok(self.thread.take().unwrap().join().expect("the loop has panicked"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the loop has panicked");
        }
    }
}

impl Stopper {
    pub(crate) fn stop(&self) {
        // It may have ended.
        let _ = self.orders.send(Order::Stop);
        self.waker.wake().unwrap();
    }
}
