//! What is to be sent: framing bytes of our own, and ranges of the caller's buffers between them.

use alloc::collections::VecDeque;
use alloc::collections::vec_deque;
use alloc::vec::Vec;
use core::ops::Range;

use super::inflight::SlotIndex;
use crate::wire::number::Cookie;

/// A piece of what is to be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// These bytes.
    Framing(&'a [u8]),
    /// This range of the buffer of a `WRITE`.
    Payload {
        /// The command.
        cookie: Cookie,
        /// Which bytes of its buffer.
        range: Range<usize>,
    },
}

#[derive(Debug, Default)]
pub(super) struct SendQueue {
    framing: Vec<u8>,
    /// How much of `framing` was sent.
    head: usize,
    pieces: VecDeque<Piece>,
    /// Requests not wholly sent, in order, each with the stream position of its end.
    unsent: VecDeque<(SlotIndex, u64)>,
    queued: u64,
    sent: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Framing(usize),
    Payload(Cookie, Range<usize>),
}

impl Piece {
    fn is_over(&self) -> bool {
        match self {
            Self::Framing(length) => *length == 0,
            Self::Payload(_, range) => range.start == range.end,
        }
    }
}

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends a message without a payload of the caller's.
    pub(super) fn push_framing(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.head == self.framing.len() {
            self.framing.clear();
            self.head = 0;
        } else if self.head > 64 * 1024 {
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

    /// Appends the buffer of a command.
    pub(super) fn push_payload(&mut self, cookie: Cookie, length: usize) {
        if length > 0 {
            self.queued += length as u64;
            self.pieces.push_back(Piece::Payload(cookie, 0..length));
        }
    }

    /// Marks the end of a request: [`sent`](Self::sent) will name it when it has gone out.
    pub(super) fn end_request(&mut self, slot: SlotIndex) {
        self.unsent.push_back((slot, self.queued));
    }

    pub(super) fn segments(&self) -> Outbound<'_> {
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
        while let Some((slot, end)) = self.unsent.front() {
            if *end > self.sent {
                break;
            }
            done(*slot);
            self.unsent.pop_front();
        }
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
pub struct Outbound<'a> {
    framing: &'a [u8],
    pieces: vec_deque::Iter<'a, Piece>,
}

impl<'a> Iterator for Outbound<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        match self.pieces.next()? {
            Piece::Framing(length) => {
                let (bytes, rest) = self.framing.split_at(*length);
                self.framing = rest;
                Some(Segment::Framing(bytes))
            }
            Piece::Payload(cookie, range) => Some(Segment::Payload { cookie: *cookie, range: range.clone() }),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pieces.size_hint()
    }
}
