//! The requests in flight. A cookie carries the number of its slot and the slot's generation, so that a look-up
//! costs no search and a cookie that has been used up is recognised.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smallvec::SmallVec;

use super::check::Command;
use super::coverage::Coverage;
use crate::error::CommandError;
use crate::wire::number::{ContextId, Cookie};

/// The number of a slot.
pub(super) type SlotIndex = u32;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Vec<Slot>,
    free: Vec<SlotIndex>,
    /// How many slots are taken.
    taken: usize,
    /// Finished requests whose `Done` is yet to be told.
    ready: VecDeque<SlotIndex>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    taken: bool,
    request: Request,
}

/// What has to be known of a request until its `Done`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    /// The contexts that may answer, where the request named them.
    pub(super) asked: Option<SmallVec<[ContextId; 2]>>,
    /// How many contexts have to answer.
    pub(super) contexts: usize,
    /// The contexts that have answered.
    pub(super) answered: SmallVec<[ContextId; 2]>,
    pub(super) coverage: Coverage,
    /// Whether a chunk has come.
    pub(super) chunks: bool,
    /// Whether a content chunk has come.
    pub(super) content: bool,
    /// The first error that an error chunk told.
    pub(super) failure: Option<CommandError>,
    /// Whether the last byte of the request was sent.
    pub(super) sent: bool,
    /// How the request ended, once its last reply has come.
    pub(super) outcome: Option<Result<(), CommandError>>,
}

impl Request {
    fn new(command: Command) -> Self {
        Self {
            command,
            asked: None,
            contexts: 0,
            answered: SmallVec::new(),
            coverage: Coverage::default(),
            chunks: false,
            content: false,
            failure: None,
            sent: false,
            outcome: None,
        }
    }

    /// Makes the slot's request anew, and keeps its memory.
    fn reuse(&mut self, command: Command) {
        self.command = command;
        self.asked = None;
        self.contexts = 0;
        self.answered.clear();
        self.coverage.clear();
        self.chunks = false;
        self.content = false;
        self.failure = None;
        self.sent = false;
        self.outcome = None;
    }
}

impl InFlight {
    /// How many requests have not had their `Done`.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Whether there is a request that was not answered, or not sent whole.
    pub(super) fn is_awaiting(&self) -> bool {
        self.taken > self.ready.len()
    }

    /// Takes a slot for a command.
    pub(super) fn insert(&mut self, command: Command) -> (Cookie, SlotIndex) {
        self.taken += 1;
        let index = if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.taken = true;
            slot.request.reuse(command);
            index
        } else {
            // Generations begin at 1, so that no cookie is 0.
            self.slots.push(Slot { generation: 1, taken: true, request: Request::new(command) });
            (self.slots.len() - 1) as SlotIndex
        };
        (self.cookie(index), index)
    }

    pub(super) fn cookie(&self, index: SlotIndex) -> Cookie {
        let generation = self.slots[index as usize].generation;
        Cookie(u64::from(generation) << 32 | u64::from(index))
    }

    /// The slot of a cookie whose last reply has not come yet.
    pub(super) fn find(&self, cookie: Cookie) -> Option<SlotIndex> {
        let index = cookie.0 as u32;
        let slot = self.slots.get(index as usize)?;
        let current = slot.taken && u64::from(slot.generation) == cookie.0 >> 32;
        (current && slot.request.outcome.is_none()).then_some(index)
    }

    /// The request of a slot that [`insert`](Self::insert) or [`find`](Self::find) gave.
    pub(super) fn request(&mut self, index: SlotIndex) -> &mut Request {
        &mut self.slots[index as usize].request
    }

    /// The last reply of a request has come. Its `Done` waits until the request has been sent.
    pub(super) fn replied(&mut self, index: SlotIndex, outcome: Result<(), CommandError>) {
        let request = self.request(index);
        request.outcome = Some(outcome);
        if request.sent {
            self.ready.push_back(index);
        }
    }

    /// The last byte of a request was sent.
    pub(super) fn sent(&mut self, index: SlotIndex) {
        let request = self.request(index);
        request.sent = true;
        if request.outcome.is_some() {
            self.ready.push_back(index);
        }
    }

    /// The next finished request; its slot is free by that.
    pub(super) fn pop_done(&mut self) -> Option<(Cookie, Result<(), CommandError>)> {
        let index = self.ready.pop_front()?;
        let cookie = self.cookie(index);
        let outcome = self.request(index).outcome.take()?;
        self.release(index);
        Some((cookie, outcome))
    }

    /// Any request left, once the connection is over and [`pop_done`](Self::pop_done) gives nothing more. A
    /// failure that the server told stays; a success of a request that it never saw whole does not count.
    ///
    /// The slots go with their requests, so nothing may be inserted any more.
    pub(super) fn pop_any(&mut self, over: impl FnOnce() -> CommandError) -> Option<(Cookie, CommandError)> {
        loop {
            let index = self.slots.len().checked_sub(1)? as SlotIndex;
            let cookie = self.cookie(index);
            let slot = self.slots.pop()?;
            if slot.taken {
                self.taken -= 1;
                return Some((cookie, slot.request.outcome.and_then(Result::err).unwrap_or_else(over)));
            }
        }
    }

    fn release(&mut self, index: SlotIndex) {
        let slot = &mut self.slots[index as usize];
        slot.taken = false;
        self.taken -= 1;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(index);
    }
}
