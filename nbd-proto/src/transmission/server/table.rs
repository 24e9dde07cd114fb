//! The requests that a server has in flight.

use alloc::collections::VecDeque;
use smallvec::SmallVec;

use super::admit::Admitted;
use super::event::RequestId;
use crate::transmission::slots::{SlotIndex, Slots};
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, ContextId, Cookie};

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slots<Served>,
    /// Requests whose answer has gone out, and whose `Done` is yet to be told.
    ready: VecDeque<SlotIndex>,
}

/// What has to be known of a request until its answer has gone out.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) cookie: Cookie,
    pub(super) command: CommandType,
    pub(super) flags: CommandFlags,
    pub(super) offset: u64,
    /// How many bytes of the export it is about.
    pub(super) length: u64,
    /// Which contexts are to answer, of a block status.
    pub(super) contexts: SmallVec<[ContextId; 4]>,
    pub(super) stage: Stage,
    /// Whether the caller knows of it, and gets its `Done`.
    pub(super) told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its payload is awaited; or the caller's consent to it.
    Inbound,
    /// The caller is to answer.
    AwaitAnswer,
    /// The answer is queued, or will be once the payload has been skipped.
    Answered,
}

impl Served {
    fn new(request: &Admitted) -> Self {
        Self {
            cookie: request.cookie,
            command: request.command,
            flags: request.flags,
            offset: request.offset,
            length: request.length,
            contexts: SmallVec::new(),
            stage: Stage::Inbound,
            told: false,
        }
    }

    /// Makes the slot's request anew, and keeps its memory.
    fn reuse(&mut self, request: &Admitted) {
        let mut contexts = core::mem::take(&mut self.contexts);
        contexts.clear();
        *self = Self { contexts, ..Self::new(request) };
    }
}

impl Table {
    /// How many requests hold a place.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, request: &Admitted) -> SlotIndex {
        self.slots.insert(|| Served::new(request), |served| served.reuse(request))
    }

    pub(super) fn id(&self, index: SlotIndex) -> RequestId {
        RequestId(self.slots.key(index))
    }

    /// The place of a request that the caller knows of, and that was not answered yet.
    pub(super) fn find(&self, id: RequestId) -> Option<SlotIndex> {
        self.slots.find(id.0).filter(|index| self.slots.value(*index).stage != Stage::Answered)
    }

    pub(super) fn request(&self, index: SlotIndex) -> &Served {
        self.slots.value(index)
    }

    pub(super) fn request_mut(&mut self, index: SlotIndex) -> &mut Served {
        self.slots.value_mut(index)
    }

    /// The last byte of an answer has gone out.
    pub(super) fn sent(&mut self, index: SlotIndex) {
        if self.slots.value(index).told {
            self.ready.push_back(index);
        } else {
            self.slots.release(index);
        }
    }

    /// The next request whose answer has gone out; its place is free by that.
    pub(super) fn pop_done(&mut self) -> Option<RequestId> {
        let index = self.ready.pop_front()?;
        let id = self.id(index);
        self.slots.release(index);
        Some(id)
    }

    /// Gives back memory that no request needs now.
    pub(super) fn shrink(&mut self) {
        self.slots.shrink();
        self.ready.shrink_to_fit();
    }

    /// Any request left, once the connection is over and [`pop_done`](Self::pop_done) gives nothing more. Nothing may
    /// be inserted any more after that.
    pub(super) fn pop_any(&mut self) -> Option<RequestId> {
        loop {
            let (key, served) = self.slots.pop()?;
            if served.told {
                return Some(RequestId(key));
            }
        }
    }
}
