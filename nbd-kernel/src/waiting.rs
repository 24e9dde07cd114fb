//! Waiting for one of several descriptors.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until one can be read, or for this long. A signal may end it, too.
pub(crate) fn readable(descriptors: &[BorrowedFd<'_>], time: Duration) {
    let mut fds: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let time =
        Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) };
    // Whatever it came to, the caller looks for itself.
    let _ = poll(&mut fds, Some(&time));
}
