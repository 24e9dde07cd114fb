//! Commands in flight, and what came for them.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::CommandError;
use crate::transmission::{Client, Command, Event, Extent, Segment};
use crate::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue};

/// A command that was accepted.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct Call {
    pub(in crate::fuzzing) cookie: Cookie,
    pub(in crate::fuzzing) command: Command,
    /// What came for a `READ`, by its place in the buffer. Pieces that follow each other in the stream are joined.
    pub(in crate::fuzzing) pieces: BTreeMap<usize, Piece>,
    covered: usize,
    /// Where in the outbound stream its request ends.
    end: usize,
    pub(in crate::fuzzing) result: Option<Result<(), CommandError>>,
}

/// A part of the answer to a `READ`.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) enum Piece {
    Data(Vec<u8>),
    Hole(usize),
}

/// What the engine told, apart from the content of reads.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) enum Seen {
    Data(Cookie, Range<usize>),
    Hole(Cookie, Range<usize>),
    Extents(Cookie, ContextId, Vec<Extent>),
    Failure(Cookie, ChunkType, ErrorValue, Vec<u8>, Option<u64>, Vec<u8>),
    Done(Cookie),
}

/// All commands of a connection, in the order in which they were submitted.
#[derive(Debug, PartialEq)]
pub(in crate::fuzzing) struct Calls {
    pub(in crate::fuzzing) list: Vec<Call>,
    pub(in crate::fuzzing) events: Vec<Seen>,
    in_flight: BTreeMap<Cookie, usize>,
    size: u64,
}

impl Piece {
    pub(in crate::fuzzing) fn length(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Hole(length) => *length,
        }
    }
}

impl Call {
    /// Notes a part of the answer. No byte may come twice.
    fn take(&mut self, start: usize, piece: Piece) {
        let length = piece.length();
        assert_eq!(self.command.command, CommandType::READ, "content for {:?}", self.command);
        let end = start.checked_add(length).filter(|end| *end as u64 <= self.command.length);
        assert!(end.is_some() && length > 0, "{start} and {length} more are not within {:?}", self.command);
        let next = self.pieces.range(start..).next();
        assert!(next.is_none_or(|(next, _)| *next >= start + length), "a byte came twice");
        self.covered += length;
        if let Some((before, last)) = self.pieces.range_mut(..start).next_back() {
            let reach = before + last.length();
            assert!(reach <= start, "a byte came twice");
            if let (true, Piece::Data(joined), Piece::Data(bytes)) = (reach == start, last, &piece) {
                joined.extend_from_slice(bytes);
                return;
            }
        }
        self.pieces.insert(start, piece);
    }

    /// The buffer of a `READ`, as far as it was filled.
    pub(in crate::fuzzing) fn content(&self) -> Vec<u8> {
        let mut buffer = vec![0xee; self.command.length as usize];
        for (start, piece) in &self.pieces {
            match piece {
                Piece::Data(bytes) => buffer[*start..start + bytes.len()].copy_from_slice(bytes),
                Piece::Hole(length) => buffer[*start..start + length].fill(0),
            }
        }
        buffer
    }
}

impl Calls {
    pub(super) fn new(size: u64) -> Self {
        Self { list: Vec::new(), events: Vec::new(), in_flight: BTreeMap::new(), size }
    }

    /// Submits a command, of which the last byte will be at the end of what is queued then.
    pub(super) fn submit(
        &mut self,
        client: &mut Client,
        command: Command,
        contexts: Option<&[ContextId]>,
        sent: usize,
    ) -> bool {
        let before = outbound_length(client);
        let cookie = match contexts {
            Some(contexts) => client.submit_for_contexts(command, contexts),
            None => client.submit(command),
        };
        let queued = outbound_length(client);
        let Ok(cookie) = cookie else {
            assert_eq!(queued, before, "a refused command was sent");
            return false;
        };
        assert!(queued >= before + 28, "a request without a header");
        let known = self.in_flight.insert(cookie, self.list.len());
        assert!(known.is_none(), "{cookie} names two commands in flight");
        let (pieces, end) = (BTreeMap::new(), sent + queued);
        self.list.push(Call { cookie, command, pieces, covered: 0, end, result: None });
        true
    }

    pub(super) fn number(&self, cookie: Cookie) -> Option<usize> {
        self.in_flight.get(&cookie).copied()
    }

    /// A command that has not had its `Done`.
    fn in_flight(&mut self, cookie: Cookie) -> &mut Call {
        let Some(number) = self.number(cookie) else {
            unreachable!("an event for {cookie}, which is not in flight");
        };
        &mut self.list[number]
    }

    pub(super) fn write(&mut self, cookie: Cookie, range: Range<usize>, bytes: &[u8]) {
        assert_eq!(range.len(), bytes.len());
        self.in_flight(cookie).take(range.start, Piece::Data(bytes.to_owned()));
        match self.events.last_mut() {
            Some(Seen::Data(last, joined)) if *last == cookie && joined.end == range.start => joined.end = range.end,
            _ => self.events.push(Seen::Data(cookie, range)),
        }
    }

    /// Notes an event, `sent` bytes having gone out. `over`: whether the connection is.
    pub(super) fn see(&mut self, event: Event<'_>, sent: usize, over: bool) {
        match event {
            Event::Data { cookie, range, bytes } => self.write(cookie, range, bytes),
            Event::Hole { cookie, range } => {
                self.in_flight(cookie).take(range.start, Piece::Hole(range.len()));
                self.events.push(Seen::Hole(cookie, range));
            }
            Event::Extents { cookie, context, extents } => {
                let (command, size) = (self.in_flight(cookie).command, self.size);
                assert_eq!(command.command, CommandType::BLOCK_STATUS);
                let extents: Vec<Extent> = extents.collect();
                for extent in &extents {
                    let room = size.checked_sub(extent.offset);
                    let within = extent.length > 0 && room.is_some_and(|room| extent.length <= room);
                    assert!(extent.offset >= command.offset && within, "{extent:?} in answer to {command:?}");
                }
                match self.events.last_mut() {
                    Some(Seen::Extents(last, of, joined)) if (*last, *of) == (cookie, context) => {
                        joined.extend(extents);
                    }
                    _ => self.events.push(Seen::Extents(cookie, context, extents)),
                }
            }
            Event::Failure { cookie, error } => {
                self.in_flight(cookie);
                let (message, rest) = (error.message.to_owned(), error.rest.to_owned());
                self.events.push(Seen::Failure(cookie, error.chunk, error.error, message, error.offset, rest));
            }
            Event::Done { cookie, result } => {
                let call = self.in_flight(cookie);
                assert!(call.end <= sent || over, "done before it was sent");
                let read = call.command.command == CommandType::READ;
                let whole = !read || call.covered as u64 == call.command.length;
                assert!(result.is_err() || whole, "a successful read with gaps");
                call.result = Some(result);
                self.in_flight.remove(&cookie);
                self.events.push(Seen::Done(cookie));
            }
        }
    }
}

/// How many bytes wait to be sent.
pub(super) fn outbound_length(client: &Client) -> usize {
    client
        .outbound()
        .map(|segment| match segment {
            Segment::Framing(bytes) => bytes.len(),
            Segment::Payload { range, .. } => range.len(),
        })
        .sum()
}
