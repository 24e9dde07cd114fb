//! What is to be sent: framing bytes of our own, and ranges of the caller's buffers between them.

use alloc::collections::VecDeque;
use alloc::collections::vec_deque;
use alloc::vec::Vec;
use core::ops::Range;

use super::slots::SlotIndex;
use crate::wire::number::Cookie;

/// How much of what was sent is kept in memory, in bytes.
const MAX_KEPT: usize = 64 * 1024;

/// A piece of what is to be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment<'a, Id = Cookie> {
    /// These bytes.
    Framing(&'a [u8]),
    /// This range of a buffer: a client's `WRITE`, a server's answer to a `READ`.
    Payload {
        /// Whose buffer: that of a client's command, or of a server's request.
        owner: Id,
        /// Which bytes of its buffer.
        range: Range<usize>,
    },
}

#[derive(Debug)]
pub(super) struct SendQueue<Id> {
    framing: Vec<u8>,
    /// How much of `framing` was sent.
    head: usize,
    /// Each range of a buffer, and how much of `framing` goes before it.
    pieces: VecDeque<Piece<Id>>,
    /// How much of `framing` goes behind the last range.
    tail: usize,
    /// Requests not wholly sent, in order, each with the stream position of its end.
    unsent: VecDeque<(SlotIndex, u64)>,
    queued: u64,
    sent: u64,
}

#[derive(Clone, Debug)]
struct Piece<Id> {
    framing: usize,
    owner: Id,
    /// Never empty.
    range: Range<usize>,
}

impl<Id> Default for SendQueue<Id> {
    fn default() -> Self {
        let (framing, pieces, unsent) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Self { framing, head: 0, pieces, tail: 0, unsent, queued: 0, sent: 0 }
    }
}

impl<Id: Copy> SendQueue<Id> {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail == 0
    }

    /// Appends a message without a payload of the caller's.
    pub(super) fn push_framing(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.head > MAX_KEPT && self.head > self.framing.len() / 2 {
            self.framing.drain(..self.head);
            self.head = 0;
        }
        let before = self.framing.len();
        write(&mut self.framing);
        let length = self.framing.len() - before;
        self.queued += length as u64;
        self.tail += length;
    }

    /// Appends a range of a buffer.
    pub(super) fn push_payload(&mut self, owner: Id, range: Range<usize>) {
        if !range.is_empty() {
            self.queued += range.len() as u64;
            self.pieces.push_back(Piece { framing: core::mem::take(&mut self.tail), owner, range });
        }
    }

    /// Marks the end of a request: [`sent`](Self::sent) will name it when it has gone out.
    pub(super) fn end_request(&mut self, slot: SlotIndex) {
        self.unsent.push_back((slot, self.queued));
    }

    pub(super) fn segments(&self) -> Outbound<'_, Id> {
        Outbound { framing: &self.framing[self.head..], pieces: self.pieces.iter(), payload: None, tail: self.tail }
    }

    /// Commits `count` bytes, and names each request whose last byte is among them. More than was queued counts
    /// as all of it.
    pub(super) fn sent(&mut self, count: usize, mut done: impl FnMut(SlotIndex)) {
        let mut left = count;
        while left > 0 {
            let front = self.pieces.front_mut();
            let framing = front.map_or(&mut self.tail, |piece| &mut piece.framing);
            let taken = left.min(*framing);
            *framing -= taken;
            self.head += taken;
            left -= taken;
            self.sent += taken as u64;
            let Some(piece) = self.pieces.front_mut() else { break };
            let taken = left.min(piece.range.len());
            piece.range.start += taken;
            left -= taken;
            self.sent += taken as u64;
            if piece.range.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.head == self.framing.len() {
            self.framing.clear();
            // What one long list of extents needed is not kept, also where nothing follows it.
            self.framing.shrink_to(MAX_KEPT);
            self.head = 0;
        }
        while let Some((slot, end)) = self.unsent.front() {
            if *end > self.sent {
                break;
            }
            done(*slot);
            self.unsent.pop_front();
        }
    }

    /// Gives back memory that nothing is in.
    pub(super) fn shrink(&mut self) {
        self.framing.shrink_to_fit();
        self.pieces.shrink_to_fit();
        self.unsent.shrink_to_fit();
    }

    /// Nothing will be sent any more.
    pub(super) fn clear(&mut self) {
        self.framing.clear();
        self.head = 0;
        self.pieces.clear();
        self.tail = 0;
        self.unsent.clear();
    }
}

/// Iterator over what is to be sent, in order. Looking changes nothing.
#[derive(Clone, Debug)]
pub struct Outbound<'a, Id = Cookie> {
    framing: &'a [u8],
    pieces: vec_deque::Iter<'a, Piece<Id>>,
    /// The range that follows the framing before it.
    payload: Option<&'a Piece<Id>>,
    tail: usize,
}

impl<'a, Id: Copy> Iterator for Outbound<'a, Id> {
    type Item = Segment<'a, Id>;

    fn next(&mut self) -> Option<Segment<'a, Id>> {
        if self.payload.is_none() {
            self.payload = self.pieces.next();
            let length = self.payload.map_or_else(|| core::mem::take(&mut self.tail), |piece| piece.framing);
            if length > 0 {
                let (bytes, rest) = self.framing.split_at(length);
                self.framing = rest;
                return Some(Segment::Framing(bytes));
            }
        }
        let piece = self.payload.take()?;
        Some(Segment::Payload { owner: piece.owner, range: piece.range.clone() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Before each range there may be framing or not.
        let (ranges, begun) = (self.pieces.len(), usize::from(self.payload.is_some()));
        let least = ranges + begun + usize::from(self.tail > 0);
        (least, Some(least + ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEPT, SendQueue};
    use crate::wire::number::Cookie;

    #[test]
    fn the_memory_of_a_long_message_is_free_when_it_is_sent() {
        let mut queue = SendQueue::<Cookie>::default();
        queue.push_framing(|out| out.resize(10 * MAX_KEPT, 7));
        queue.sent(10 * MAX_KEPT - 1, |_| {});
        assert!(queue.framing.capacity() >= 10 * MAX_KEPT);
        queue.sent(1, |_| {});
        assert!(queue.framing.capacity() <= MAX_KEPT, "{}", queue.framing.capacity());
    }
}
