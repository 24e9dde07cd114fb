//! Calls that the kernel may keep for ever.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Does a call in a thread of its own. `None` if it is not over in time; then the thread is left behind.
pub(crate) fn bounded<T: Send + 'static>(
    time: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (sender, receiver) = mpsc::channel();
    // Nobody may be listening any more.
    let started = thread::Builder::new().name("nbd-detach".to_owned()).spawn(move || drop(sender.send(call())));
    started.map(|_| receiver.recv_timeout(time).ok())
}
