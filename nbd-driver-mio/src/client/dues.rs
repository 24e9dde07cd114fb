//! When requests are overdue. All have the same time, so the first to be handed in is the first to be due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nbd_proto::wire::number::Cookie;

/// The deadlines of requests in flight, in order; and of some that have ended, until they are swept.
#[derive(Debug)]
pub(super) struct Dues {
    timeout: Option<Duration>,
    /// No instant: handed in since the last turn.
    queue: VecDeque<(Cookie, Option<Instant>)>,
}

impl Dues {
    pub(super) const fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, queue: VecDeque::new() }
    }

    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// A request was handed in.
    pub(super) fn push(&mut self, cookie: Cookie) {
        if self.timeout.is_some() {
            self.queue.push_back((cookie, None));
        }
    }

    /// The time of those that were handed in since the last turn begins now.
    pub(super) fn stamp(&mut self, now: Instant) {
        let Some(timeout) = self.timeout else { return };
        let due = now.checked_add(timeout);
        for (_, at) in self.queue.iter_mut().rev().take_while(|(_, at)| at.is_none()) {
            *at = due;
        }
    }

    /// Forgets requests that have ended: all at the front; and all, when they have become most of the queue.
    pub(super) fn sweep(&mut self, in_flight: usize, is_in_flight: impl Fn(Cookie) -> bool) {
        while self.queue.front().is_some_and(|(cookie, _)| !is_in_flight(*cookie)) {
            self.queue.pop_front();
        }
        if self.queue.len() > 2 * in_flight + 32 {
            self.queue.retain(|(cookie, _)| is_in_flight(*cookie));
        }
    }

    /// The first deadline of a request in flight, after a sweep.
    pub(super) fn first(&self) -> Option<Instant> {
        self.queue.front().and_then(|(_, at)| *at)
    }

    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }
}
