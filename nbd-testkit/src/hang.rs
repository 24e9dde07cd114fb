//! An end to what might hang.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// After this long, a test hangs. Nothing that is tested takes a fifth of it on a slow machine.
pub const HANG: Duration = Duration::from_secs(60);

/// Runs what must end, however badly: a panic in it is one here, and so is one minute without an end.
pub fn must_end<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || sender.send(run()));
    match receiver.recv_timeout(HANG) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => panic!("the thread ended without a word"),
        },
    }
}
