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
    pieces: VecDeque<Piece<Id>>,
    /// Requests not wholly sent, in order, each with the stream position of its end.
    unsent: VecDeque<(SlotIndex, u64)>,
    queued: u64,
    sent: u64,
}

#[derive(Clone, Debug)]
enum Piece<Id> {
    Framing(usize),
    Payload(Id, Range<usize>),
}

impl<Id> Default for SendQueue<Id> {
    fn default() -> Self {
        Self { framing: Vec::new(), head: 0, pieces: VecDeque::new(), unsent: VecDeque::new(), queued: 0, sent: 0 }
    }
}

impl<Id> Piece<Id> {
    fn is_over(&self) -> bool {
        match self {
            Self::Framing(length) => *length == 0,
            Self::Payload(_, range) => range.start == range.end,
        }
    }
}

impl<Id: Copy> SendQueue<Id> {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
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
        match self.pieces.back_mut() {
            Some(Piece::Framing(last)) => *last += length,
            _ => self.pieces.push_back(Piece::Framing(length)),
        }
    }

    /// Appends a range of a buffer.
    pub(super) fn push_payload(&mut self, owner: Id, range: Range<usize>) {
        if !range.is_empty() {
            self.queued += range.len() as u64;
            self.pieces.push_back(Piece::Payload(owner, range));
        }
    }

    /// Marks the end of a request: [`sent`](Self::sent) will name it when it has gone out.
    pub(super) fn end_request(&mut self, slot: SlotIndex) {
        self.unsent.push_back((slot, self.queued));
    }

    pub(super) fn segments(&self) -> Outbound<'_, Id> {
        Outbound { framing: &self.framing[self.head..], pieces: self.pieces.iter() }
    }

    /// Commits `count` bytes, and names each request whose last byte is among them. More than was queued counts
    /// as all of it.
    pub(super) fn sent(&mut self, count: usize, mut done: impl FnMut(SlotIndex)) {
        let mut left = count;
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else { break };
            let taken = match piece {
                Piece::Framing(length) => {
                    let taken = left.min(*length);
                    *length -= taken;
                    self.head += taken;
                    taken
                }
                Piece::Payload(_, range) => {
                    let taken = left.min(range.len());
                    range.start += taken;
                    taken
                }
            };
            left -= taken;
            self.sent += taken as u64;
            if piece.is_over() {
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
        self.unsent.clear();
    }
}

/// Iterator over what is to be sent, in order. Looking changes nothing.
#[derive(Clone, Debug)]
pub struct Outbound<'a, Id = Cookie> {
    framing: &'a [u8],
    pieces: vec_deque::Iter<'a, Piece<Id>>,
}

impl<'a, Id: Copy> Iterator for Outbound<'a, Id> {
    type Item = Segment<'a, Id>;

    fn next(&mut self) -> Option<Segment<'a, Id>> {
        match self.pieces.next()? {
            Piece::Framing(length) => {
                let (bytes, rest) = self.framing.split_at(*length);
                self.framing = rest;
                Some(Segment::Framing(bytes))
            }
            Piece::Payload(owner, range) => Some(Segment::Payload { owner: *owner, range: range.clone() }),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pieces.size_hint()
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
