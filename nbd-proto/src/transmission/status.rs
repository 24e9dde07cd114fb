//! The answers to block status, for callers who collect them. A server chooses how long they are, so what is held of all
//! of them together has a bound.

use alloc::vec::Vec;
use core::mem::{size_of, take};

use super::inbound::{Extent, Extents};
use crate::error::CommandError;
use crate::wire::number::ContextId;

/// What an entry of a list of contexts is counted as, in bytes: its own size, and as much again because lists double.
const ENTRY: usize = 2 * size_of::<ContextExtents>();

/// How many extents a context's list has room for at first.
const FIRST_ROOM: usize = 4;

/// What one metadata context says of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextExtents {
    /// The context; [`Negotiated::contexts`](crate::handshake::Negotiated::contexts) has its name.
    pub context: ContextId,
    /// Consecutive extents from the start of the range. They may end before it does, or go on behind it.
    pub extents: Vec<Extent>,
}

impl ContextExtents {
    fn bytes(&self) -> usize {
        ENTRY + self.extents.capacity() * size_of::<Extent>()
    }
}

/// How much memory the answers of one connection take, and may take: those that are coming in, and those that came and
/// have not been [released](Self::release).
#[derive(Debug)]
pub struct StatusMemory {
    limit: usize,
    held: usize,
}

impl StatusMemory {
    /// None is taken yet. `limit` is in bytes; see [`DEFAULT_STATUS_MEMORY`](crate::limits::DEFAULT_STATUS_MEMORY).
    pub const fn new(limit: usize) -> Self {
        Self { limit, held: 0 }
    }

    /// How many bytes are taken now. Never more than the limit.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Counts an answer that came from elsewhere until it is [released](Self::release).
    ///
    /// # Errors
    /// [`CommandError::StatusTooLarge`] where there is no room for it; it is not counted then.
    pub fn claim(&mut self, answer: &[ContextExtents]) -> Result<(), CommandError> {
        let bytes = bytes_of(answer);
        if !self.has_room(bytes) {
            return Err(self.too_large());
        }
        self.held += bytes;
        Ok(())
    }

    /// An answer that [`StatusAnswer::finish`] gave, or that was [claimed](Self::claim), is not held any more, or is
    /// somebody else's to bound.
    pub fn release(&mut self, answer: &[ContextExtents]) {
        self.held = self.held.saturating_sub(bytes_of(answer));
    }

    const fn too_large(&self) -> CommandError {
        CommandError::StatusTooLarge { limit: self.limit }
    }

    const fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.held)
    }
}

/// The answer to one block status as it comes in. Where there is no memory for it, what has come is forgotten, and the
/// rest as it comes: the command fails, and the connection goes on.
#[derive(Debug, Default)]
pub struct StatusAnswer {
    /// In the order in which they first spoke.
    contexts: Vec<ContextExtents>,
    /// Whether there was no memory for it.
    forgotten: bool,
}

impl StatusAnswer {
    /// Appends what an [`Event::Extents`](super::Event::Extents) brought.
    pub fn add(&mut self, memory: &mut StatusMemory, context: ContextId, extents: Extents<'_>) {
        if !self.forgotten && self.append(memory, context, extents).is_none() {
            memory.release(&take(&mut self.contexts));
            self.forgotten = true;
        }
    }

    /// `None` as soon as there is no memory.
    fn append(&mut self, memory: &mut StatusMemory, context: ContextId, extents: Extents<'_>) -> Option<()> {
        // The engine lets each context speak once in a reply, so it is the last one or a new one.
        if self.contexts.last().is_none_or(|last| last.context != context) {
            if !memory.has_room(ENTRY) {
                return None;
            }
            memory.held += ENTRY;
            self.contexts.push(ContextExtents { context, extents: Vec::new() });
        }
        let list = &mut self.contexts.last_mut()?.extents;
        for extent in extents {
            let room = list.capacity();
            if list.len() == room {
                let more = room.max(FIRST_ROOM);
                if !memory.has_room(more * size_of::<Extent>()) {
                    return None;
                }
                list.reserve_exact(more);
                memory.held += (list.capacity() - room) * size_of::<Extent>();
            }
            list.push(extent);
        }
        Some(())
    }

    /// Once the command is done: what was collected, which stays counted until it is [released](StatusMemory::release),
    /// and how the command ended, which is no success where something was forgotten.
    pub fn finish(
        self,
        memory: &StatusMemory,
        result: Result<(), CommandError>,
    ) -> (Vec<ContextExtents>, Result<(), CommandError>) {
        (self.contexts, if self.forgotten { result.and(Err(memory.too_large())) } else { result })
    }
}

fn bytes_of(answer: &[ContextExtents]) -> usize {
    answer.iter().map(ContextExtents::bytes).sum()
}
