//! An end to waiting, from another thread.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::error::{Error, Step};

/// Ends [`Device::wait`](crate::Device::wait) or [`Supervisor::run`](crate::Supervisor::run) from another thread, such
/// as one that waits for signals. The device stays attached.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stop: AtomicBool,
    event: OwnedFd,
}

impl Stopper {
    pub(crate) fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let failed = |errno: rustix::io::Errno| Error::Step {
            step: Step::Eventfd,
            device: None,
            source: errno.into(),
            advice: None,
        };
        Ok(Self(Arc::new(Inner { stop: AtomicBool::new(false), event: event.map_err(failed)? })))
    }

    /// Whoever waits for the device returns soon, now and each time from now on.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Whoever waits looks around, and may wait on.
    pub(crate) fn wake(&self) {
        // It fails only when it is readable already, which is what is wanted.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }

    /// Readable when there is something to look at.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    pub(crate) fn clear(&self) {
        // It fails only when there is nothing to clear.
        let _ = rustix::io::read(&self.0.event, &mut [0; 8]);
    }
}
