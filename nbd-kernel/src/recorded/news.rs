//! The multicast group.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::netlink::{Event, Failure};
use crate::system::Notices;

/// What a member has not read yet.
#[derive(Debug)]
pub(super) struct Unread {
    news: Mutex<VecDeque<Result<Event, Errno>>>,
    readable: OwnedFd,
}

impl Unread {
    pub(super) fn new() -> Arc<Self> {
        let readable = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        Arc::new(Self { news: Mutex::default(), readable })
    }

    pub(super) fn is_left(&self) -> bool {
        !self.news.lock().unwrap().is_empty()
    }

    pub(super) fn tell(&self, news: Result<Event, Errno>) {
        let mut unread = self.news.lock().unwrap();
        unread.push_back(news);
        rustix::io::write(&self.readable, &1_u64.to_ne_bytes()).unwrap();
    }
}

/// A member of the group.
#[derive(Debug)]
pub(super) struct Member(pub(super) Arc<Unread>);

impl Notices for Member {
    fn next(&mut self) -> Result<Option<Event>, Failure> {
        let mut unread = self.0.news.lock().unwrap();
        match unread.pop_front() {
            Some(news) => news.map(Some).map_err(|errno| Failure::Io(errno.into())),
            None => {
                // It fails when there was nothing before.
                let _ = rustix::io::read(&self.0.readable, &mut [0; 8]);
                Ok(None)
            }
        }
    }
}

impl AsFd for Member {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.readable.as_fd()
    }
}
