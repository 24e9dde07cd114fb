//! Wakes up when something changes in a directory.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::listener::wait_readable;

pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn new(dir: &Path) -> Self {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
        let events = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, events).expect("watch the server's directory");
        Self(fd)
    }

    /// Returns after a change, or after a moment, so that the caller sees when the server is dead.
    pub(crate) fn wait(&self) {
        if wait_readable(&[self.0.as_fd()], Some(Duration::from_millis(20))).is_some() {
            let mut events = [0; 4096];
            rustix::io::read(&self.0, &mut events).ok();
        }
    }
}
