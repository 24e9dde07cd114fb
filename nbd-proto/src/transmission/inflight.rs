//! The commands that a client has in flight. Their cookies are keys of [`Slots`].

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::check::Command;
use super::contexts::Answers;
use super::coverage::Coverage;
use super::slots::{SlotIndex, Slots};
use crate::error::{CommandError, ServerError};
use crate::wire::number::Cookie;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Slots<Request>,
    /// Finished requests whose `Done` is yet to be told.
    ready: VecDeque<SlotIndex>,
}

/// What has to be known of a request until its `Done`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    /// Which contexts answer, of a block status: apart, since most commands are none.
    answers: Option<Box<Answers>>,
    pub(super) coverage: Coverage,
    /// Whether a chunk has come.
    pub(super) chunks: bool,
    /// Whether a content chunk has come.
    pub(super) content: bool,
    /// How many error chunks have come.
    pub(super) errors: u32,
    /// The first error that an error chunk told.
    pub(super) failure: Option<Box<ServerError>>,
    /// Whether the last byte of the request was sent.
    pub(super) sent: bool,
    /// Whether its last reply has come.
    pub(super) ended: bool,
}

impl Request {
    fn new(command: Command) -> Self {
        Self {
            command,
            answers: None,
            coverage: Coverage::default(),
            chunks: false,
            content: false,
            errors: 0,
            failure: None,
            sent: false,
            ended: false,
        }
    }

    /// Makes the slot's request anew, and keeps its memory.
    fn reuse(&mut self, command: Command) {
        self.command = command;
        if let Some(answers) = &mut self.answers {
            answers.reset();
        }
        self.coverage.clear();
        self.chunks = false;
        self.content = false;
        self.errors = 0;
        self.failure = None;
        self.sent = false;
        self.ended = false;
    }

    /// Which contexts answer.
    pub(super) fn answers(&mut self) -> &mut Answers {
        self.answers.get_or_insert_default()
    }
}

impl InFlight {
    /// How many requests have not had their `Done`.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is a request that was not answered, or not sent whole.
    pub(super) fn is_awaiting(&self) -> bool {
        self.slots.len() > self.ready.len()
    }

    /// Takes a slot for a command.
    pub(super) fn insert(&mut self, command: Command) -> (Cookie, SlotIndex) {
        let index = self.slots.insert(|| Request::new(command), |request| request.reuse(command));
        (self.cookie(index), index)
    }

    pub(super) fn cookie(&self, index: SlotIndex) -> Cookie {
        Cookie(self.slots.key(index))
    }

    /// The slot of a cookie whose last reply has not come yet.
    pub(super) fn find(&self, cookie: Cookie) -> Option<SlotIndex> {
        self.slots.find(cookie.0).filter(|index| !self.slots.value(*index).ended)
    }

    /// The request of a slot that [`insert`](Self::insert) or [`find`](Self::find) gave.
    pub(super) fn request(&mut self, index: SlotIndex) -> &mut Request {
        self.slots.value_mut(index)
    }

    /// The last reply of a request has come. Its `Done` waits until the request has been sent.
    pub(super) fn replied(&mut self, index: SlotIndex) {
        let request = self.request(index);
        request.ended = true;
        if request.sent {
            self.ready.push_back(index);
        }
    }

    /// The last byte of a request was sent.
    pub(super) fn sent(&mut self, index: SlotIndex) {
        let request = self.request(index);
        request.sent = true;
        if request.ended {
            self.ready.push_back(index);
        }
    }

    /// The next finished request; its slot is free by that.
    pub(super) fn pop_done(&mut self) -> Option<(Cookie, Result<(), CommandError>)> {
        let index = self.ready.pop_front()?;
        let cookie = self.cookie(index);
        let outcome = self.request(index).verdict();
        self.slots.release(index);
        Some((cookie, outcome))
    }

    /// Gives back memory that no request needs now.
    pub(super) fn shrink(&mut self) {
        self.slots.shrink();
        self.ready.shrink_to_fit();
    }

    /// Any request left, once the connection is over and [`pop_done`](Self::pop_done) gives nothing more. A
    /// failure that the server told stays; a success of a request that it never saw whole does not count.
    ///
    /// The slots go with their requests, so nothing may be inserted any more.
    pub(super) fn pop_any(&mut self, over: impl FnOnce() -> CommandError) -> Option<(Cookie, CommandError)> {
        let (key, mut request) = self.slots.pop()?;
        let told = if request.ended { request.verdict().err() } else { None };
        Some((Cookie(key), told.unwrap_or_else(over)))
    }
}
