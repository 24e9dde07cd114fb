//! Calls that the kernel may keep for ever, and waits that end.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::system::System;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);

/// Does a call in a thread of its own. `None` if it is not over in time; then the thread is left behind.
pub(crate) fn bounded<T: Send + 'static>(
    time: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (sender, receiver) = mpsc::channel();
    // Nobody may be listening any more.
    let started = thread::Builder::new().name("nbd-bounded".to_owned()).spawn(move || drop(sender.send(call())));
    started.map(|_| receiver.recv_timeout(time).ok())
}

/// The same for a call on a device, with an error for each way to go wrong.
pub(crate) fn within<T: Send + 'static>(
    time: Duration,
    device: DeviceId,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let failed = |source| Error::Step { step: Step::Thread, device: Some(device), source, advice: None };
    let called = bounded(time, call).map_err(failed)?;
    called.unwrap_or(Err(Error::TimedOut { device, what: "the kernel's answer", after: time }))
}

/// Looks until it is so; `false` if it is not so in time.
pub(crate) fn until(system: &dyn System, time: Duration, is_so: impl Fn() -> bool) -> bool {
    for _ in 0..time.as_millis() / LOOK.as_millis() {
        if is_so() {
            return true;
        }
        system.pause(LOOK);
    }
    is_so()
}
