//! Device nodes that are open. Each is the end of a pipe, so that its closing shows at the other end.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::name_of;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) device: u32,
    /// What the caller's end is told from others by.
    pub(super) name: u64,
    other_end: OwnedFd,
}

impl Node {
    /// Opens one; the second is the caller's.
    pub(super) fn open(device: u32) -> (Self, OwnedFd) {
        let (other_end, given) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (Self { device, name: name_of(&given), other_end }, given)
    }

    pub(super) fn is_closed(&self) -> bool {
        is_hung_up(&self.other_end)
    }
}

/// Whether the other side has gone.
pub(super) fn is_hung_up(file: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).unwrap() == 1 && fds[0].revents().contains(PollFlags::HUP)
}
