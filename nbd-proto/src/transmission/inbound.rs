//! The receive path: where in a reply the stream stands, and what its parts mean for the request they answer.

use core::ops::Range;

use super::check::Command;
use super::contexts::{Answer, Contexts};
use super::coverage::Conflict;
use super::inflight::{InFlight, Request};
use super::slots::SlotIndex;
use crate::error::{CommandError, Error, Expected, InvalidMessage, Message, PeerMisbehaved, ServerError};
use crate::handshake::{Advance, Negotiated, ReplyStyle};
use crate::limits::MAX_ERROR_CHUNKS;
use crate::text::lossy;
use crate::wire::chunk::{Descriptor, Descriptors, ErrorChunk, OFFSET_DATA_PREFIX, OffsetHole, Width, expect};
use crate::wire::flags::{CommandFlags, ReplyFlags};
use crate::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue};
use crate::wire::reply::{ReplyHeader, SimpleReply};

/// What happened to a request in flight. Borrows from the input, never from the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Payload of a `READ` that came together with its header, or that the caller had read already.
    Data {
        /// The command.
        cookie: Cookie,
        /// Where in its buffer the bytes belong.
        range: Range<usize>,
        /// The bytes, as many as `range` is long.
        bytes: &'a [u8],
    },
    /// This part of the buffer of a `READ` is to be filled with zeroes.
    Hole {
        /// The command.
        cookie: Cookie,
        /// Which part of its buffer.
        range: Range<usize>,
    },
    /// Some of the answer to a `BLOCK_STATUS`. Extents of one context come in order, maybe in several events.
    Extents {
        /// The command.
        cookie: Cookie,
        /// Which context speaks.
        context: ContextId,
        /// What it says.
        extents: Extents<'a>,
    },
    /// An error chunk. The command has failed, though more may come; `Done` will tell the first error again.
    Failure {
        /// The command.
        cookie: Cookie,
        /// What the server said.
        error: ErrorChunk<'a>,
    },
    /// The command has ended, and its buffer is free.
    Done {
        /// The command.
        cookie: Cookie,
        /// How it ended. Whatever came before this event counts only if it is `Ok`.
        result: Result<(), CommandError>,
    },
}

/// Where the next bytes from the network belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing<Id = Cookie> {
    /// Whose buffer: that of the client's `READ` they answer, or of the server's `WRITE` they belong to.
    pub owner: Id,
    /// Which part of that buffer they fill. Never empty.
    pub range: Range<usize>,
}

/// A range of the export and what a metadata context says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins, in bytes from the start of the export.
    pub offset: u64,
    /// How many bytes. Never 0, and never past the end of the export.
    pub length: u64,
    /// What the context says. For `base:allocation` see
    /// [`AllocationFlags`](crate::wire::flags::AllocationFlags).
    pub flags: u64,
}

/// Iterator over consecutive extents. They may go on behind the end of the request, but not of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extents<'a> {
    descriptors: Descriptors<'a>,
    offset: u64,
    size: u64,
}

impl Iterator for Extents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let Descriptor { length, flags } = self.descriptors.next()?;
        let offset = self.offset;
        // Servers are known to let the last extent go past the end of the export; it is cut there.
        let length = length.min(self.size.saturating_sub(offset));
        self.offset = offset.saturating_add(length);
        (length > 0).then_some(Extent { offset, length, flags })
    }
}

/// Where in a reply the stream stands.
#[derive(Clone, Debug)]
enum Await {
    Header,
    /// Payload of a read.
    Data {
        slot: SlotIndex,
        range: Range<usize>,
        last: bool,
    },
    /// Descriptors of a block status.
    Extents {
        slot: SlotIndex,
        context: ContextId,
        width: Width,
        /// How many descriptors are to come.
        left: u32,
        /// How far those that came reach, in bytes from the request's offset.
        reach: u64,
        last: bool,
    },
}

#[derive(Debug)]
pub(super) struct Receiver {
    state: Await,
    /// Whether the last input ended inside a message.
    inside: bool,
    /// Whether a reply told that the server is shutting down.
    shutting_down: bool,
}

/// What the handshake agreed on, as the receive path needs it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) negotiated: Negotiated,
    pub(super) contexts: Contexts,
}

/// A chunk header, structured or extended.
struct ChunkHeader {
    chunk: ChunkType,
    length: u64,
    last: bool,
    /// Bytes of the header.
    prefix: usize,
}

impl ChunkHeader {
    fn expect_length(&self, message: Message, expected: Expected) -> Result<(), InvalidMessage> {
        expect(message, expected, self.length)
    }
}

type Step<'a> = Result<Advance<Event<'a>>, Error>;

impl Receiver {
    pub(super) const fn new() -> Self {
        Self { state: Await::Header, inside: false, shutting_down: false }
    }

    /// Whether the stream stands inside a message.
    pub(super) const fn is_inside(&self) -> bool {
        self.inside || !matches!(self.state, Await::Header)
    }

    pub(super) const fn is_shutting_down(&self) -> bool {
        self.shutting_down
    }

    pub(super) fn landing(&self, table: &InFlight) -> Option<Landing> {
        match &self.state {
            Await::Data { slot, range, .. } => Some(Landing { owner: table.cookie(*slot), range: range.clone() }),
            _ => None,
        }
    }

    /// Commits up to `count` bytes of the landing.
    pub(super) fn landed(&mut self, count: usize, table: &mut InFlight) {
        let Await::Data { slot, range, last } = &mut self.state else { return };
        range.start = range.start.saturating_add(count).min(range.end);
        if range.start == range.end {
            let (slot, last) = (*slot, *last);
            self.end_chunk(slot, last, table);
        }
    }

    /// Takes one step. `seen` is told each reply header with the command it answers.
    pub(super) fn input<'a>(
        &mut self,
        input: &'a [u8],
        table: &mut InFlight,
        facts: &Facts,
        seen: impl FnOnce(CommandType, ReplyHeader),
    ) -> Step<'a> {
        let advance = match self.state.clone() {
            Await::Header => self.header(input, table, facts, seen)?,
            Await::Data { slot, range, .. } => self.data(slot, &range, input, table),
            Await::Extents { slot, context, width, left, reach, last } => {
                let cookie = table.cookie(slot);
                let bytes = &input[..input.len().min(left as usize * width.descriptor())];
                let whole = Descriptors::new(width, bytes);
                let command = table.request(slot).command;
                let rules = ExtentRules::new(&command, context, facts);
                let (sound, reached) = rules.longest_sound(whole.clone(), reach)?;
                if sound == 0 {
                    Advance::NOTHING
                } else {
                    let consumed = sound as usize * width.descriptor();
                    let offset = command.offset.saturating_add(reach);
                    let descriptors = Descriptors::new(width, &bytes[..consumed]);
                    let left = left - sound;
                    self.state = Await::Extents { slot, context, width, left, reach: reached, last };
                    if left == 0 {
                        self.end_chunk(slot, last, table);
                    }
                    let extents = Extents { descriptors, offset, size: facts.negotiated.info.size };
                    Advance::event(consumed, Event::Extents { cookie, context, extents })
                }
            }
        };
        // An empty input asks for what is due without bytes, and says nothing about those that were not consumed.
        if !input.is_empty() {
            self.inside = advance.event.is_none() && advance.consumed < input.len();
        }
        Ok(advance)
    }

    fn data<'a>(
        &mut self,
        slot: SlotIndex,
        range: &Range<usize>,
        input: &'a [u8],
        table: &mut InFlight,
    ) -> Advance<Event<'a>> {
        let count = input.len().min(range.len());
        if count == 0 {
            return Advance::NOTHING;
        }
        let cookie = table.cookie(slot);
        let range = range.start..range.start + count;
        self.landed(count, table);
        Advance::event(count, Event::Data { cookie, range, bytes: &input[..count] })
    }

    /// The last byte of a chunk has come.
    fn end_chunk(&mut self, slot: SlotIndex, last: bool, table: &mut InFlight) {
        self.state = Await::Header;
        if last {
            table.replied(slot);
        }
    }

    fn header<'a>(
        &mut self,
        input: &'a [u8],
        table: &mut InFlight,
        facts: &Facts,
        seen: impl FnOnce(CommandType, ReplyHeader),
    ) -> Step<'a> {
        let Some((header, prefix)) = ReplyHeader::parse(input)? else { return Ok(Advance::NOTHING) };
        let cookie = header.cookie();
        let Some(slot) = table.find(cookie) else { return Err(PeerMisbehaved::UnknownCookie { cookie }.into()) };
        let command = table.request(slot).command;
        let agreed = facts.negotiated.reply_style;
        let advance = match header {
            ReplyHeader::Simple(_) if agreed == ReplyStyle::Extended => return Err(style(agreed, ReplyStyle::Simple)),
            ReplyHeader::Simple(reply) => self.simple(reply, slot, table, agreed)?,
            ReplyHeader::Structured(reply) => {
                if agreed != ReplyStyle::Structured {
                    return Err(style(agreed, ReplyStyle::Structured));
                }
                let last = reply.flags.contains(ReplyFlags::DONE);
                let header = ChunkHeader { chunk: reply.chunk, length: u64::from(reply.length), last, prefix };
                self.chunk(&header, slot, &input[prefix..], table, facts)?
            }
            ReplyHeader::Extended(reply) => {
                if agreed != ReplyStyle::Extended {
                    return Err(style(agreed, ReplyStyle::Extended));
                }
                // "S: 64 bits, offset (MUST match the request)" (extended-headers extension).
                if reply.offset != command.offset {
                    return Err(PeerMisbehaved::OffsetEcho { asked: command.offset, got: reply.offset }.into());
                }
                let last = reply.flags.contains(ReplyFlags::DONE);
                let header = ChunkHeader { chunk: reply.chunk, length: reply.length, last, prefix };
                self.chunk(&header, slot, &input[prefix..], table, facts)?
            }
        };
        if advance.consumed > 0 {
            seen(command.command, header);
        }
        Ok(advance)
    }

    fn simple<'a>(
        &mut self,
        reply: SimpleReply,
        slot: SlotIndex,
        table: &mut InFlight,
        agreed: ReplyStyle,
    ) -> Step<'a> {
        let request = table.request(slot);
        let command = request.command;
        let success = reply.error == ErrorValue(0);
        if agreed == ReplyStyle::Structured {
            // "the server [...] MUST NOT use a simple reply for `NBD_CMD_READ`", and a block status that
            // succeeds has a payload, which a simple reply has not (spec, *Structured reply chunk message*).
            let needs_chunks = match command.command {
                CommandType::READ => true,
                CommandType::BLOCK_STATUS => success,
                _ => false,
            };
            if needs_chunks || request.chunks {
                return Err(PeerMisbehaved::SimpleReply { command: command.command }.into());
            }
        }
        if !success {
            self.shutting_down |= reply.error == ErrorValue::ESHUTDOWN;
            request.fail(reply.error, &[], None);
        } else if command.command == CommandType::READ && command.length > 0 {
            // The whole range is covered at once; a fresh coverage cannot conflict.
            let _ = request.coverage.insert(0, command.length);
            self.state = Await::Data { slot, range: 0..command.length as usize, last: true };
            return Ok(Advance::quiet(SimpleReply::LENGTH));
        }
        self.end_chunk(slot, true, table);
        Ok(Advance::quiet(SimpleReply::LENGTH))
    }

    fn chunk<'a>(
        &mut self,
        header: &ChunkHeader,
        slot: SlotIndex,
        body: &'a [u8],
        table: &mut InFlight,
        facts: &Facts,
    ) -> Step<'a> {
        let advance = match header.chunk {
            ChunkType::NONE => {
                header.expect_length(Message::NoneChunk, Expected::Exactly(0))?;
                if !header.last {
                    return Err(PeerMisbehaved::NoneNotDone.into());
                }
                self.end_chunk(slot, true, table);
                Advance::quiet(header.prefix)
            }
            ChunkType::OFFSET_DATA => self.offset_data(header, slot, body, table)?,
            ChunkType::OFFSET_HOLE => self.offset_hole(header, slot, body, table)?,
            chunk if chunk.is_error() => self.error(header, slot, body, table)?,
            chunk => match Width::of(chunk) {
                None => return Err(PeerMisbehaved::UnknownChunk { chunk }.into()),
                Some(width) => self.block_status(header, width, slot, body, table, facts)?,
            },
        };
        if advance.consumed > 0 && table.find(table.cookie(slot)).is_some() {
            table.request(slot).chunks = true;
        }
        Ok(advance)
    }

    fn offset_data<'a>(
        &mut self,
        header: &ChunkHeader,
        slot: SlotIndex,
        body: &[u8],
        table: &mut InFlight,
    ) -> Step<'a> {
        let request = table.request(slot);
        request.takes(header.chunk, CommandType::READ)?;
        header.expect_length(Message::OffsetData, Expected::AtLeast(OFFSET_DATA_PREFIX as u64 + 1))?;
        let Some(offset) = body.first_chunk() else { return Ok(Advance::NOTHING) };
        let offset = u64::from_be_bytes(*offset);
        let range = request.content(offset, header.length - OFFSET_DATA_PREFIX as u64)?;
        self.state = Await::Data { slot, range, last: header.last };
        Ok(Advance::quiet(header.prefix + OFFSET_DATA_PREFIX))
    }

    fn offset_hole<'a>(
        &mut self,
        header: &ChunkHeader,
        slot: SlotIndex,
        body: &[u8],
        table: &mut InFlight,
    ) -> Step<'a> {
        let request = table.request(slot);
        request.takes(header.chunk, CommandType::READ)?;
        header.expect_length(Message::OffsetHole, Expected::Exactly(OffsetHole::LENGTH as u64))?;
        let Some(payload) = body.get(..OffsetHole::LENGTH) else { return Ok(Advance::NOTHING) };
        let hole = OffsetHole::parse(payload)?;
        let range = request.content(hole.offset, u64::from(hole.length))?;
        let cookie = table.cookie(slot);
        self.end_chunk(slot, header.last, table);
        Ok(Advance::event(header.prefix + OffsetHole::LENGTH, Event::Hole { cookie, range }))
    }

    fn error<'a>(&mut self, header: &ChunkHeader, slot: SlotIndex, body: &'a [u8], table: &mut InFlight) -> Step<'a> {
        ErrorChunk::check_length(header.chunk, header.length)?;
        let Some(payload) = body.get(..header.length as usize) else { return Ok(Advance::NOTHING) };
        let error = ErrorChunk::parse(header.chunk, payload)?;
        let request = table.request(slot);
        request.errors += 1;
        if request.errors > MAX_ERROR_CHUNKS {
            return Err(PeerMisbehaved::TooManyErrors.into());
        }
        if let Some(offset) = error.offset {
            request.error_at(offset)?;
        }
        self.shutting_down |= error.error == ErrorValue::ESHUTDOWN;
        request.fail(error.error, error.message, error.offset);
        let cookie = table.cookie(slot);
        self.end_chunk(slot, header.last, table);
        Ok(Advance::event(header.prefix + payload.len(), Event::Failure { cookie, error }))
    }

    fn block_status<'a>(
        &mut self,
        header: &ChunkHeader,
        width: Width,
        slot: SlotIndex,
        body: &[u8],
        table: &mut InFlight,
        facts: &Facts,
    ) -> Step<'a> {
        let request = table.request(slot);
        request.takes(header.chunk, CommandType::BLOCK_STATUS)?;
        // "only `NBD_REPLY_TYPE_BLOCK_STATUS` for structured replies, and only
        // `NBD_REPLY_TYPE_BLOCK_STATUS_EXT` for extended headers" (extended-headers extension,
        // `NBD_CMD_BLOCK_STATUS`).
        if (width == Width::Bits64) != (facts.negotiated.reply_style == ReplyStyle::Extended) {
            let command = CommandType::BLOCK_STATUS;
            return Err(PeerMisbehaved::WrongChunk { command, chunk: header.chunk }.into());
        }
        let count = width.count(header.length)?;
        let Some(context) = width.parse_prefix(body, count)? else { return Ok(Advance::NOTHING) };
        match request.answers().note(context, &facts.contexts) {
            Answer::First => {}
            Answer::Again => return Err(PeerMisbehaved::ContextTwice { context }.into()),
            Answer::NotAsked => return Err(PeerMisbehaved::ContextNotAsked { context }.into()),
        }
        if count > 1 && request.command.flags.contains(CommandFlags::REQ_ONE) {
            return Err(PeerMisbehaved::MoreThanOneExtent.into());
        }
        self.state = Await::Extents { slot, context, width, left: count, reach: 0, last: header.last };
        Ok(Advance::quiet(header.prefix + width.prefix()))
    }
}

fn style(agreed: ReplyStyle, got: ReplyStyle) -> Error {
    PeerMisbehaved::ReplyStyle { agreed, got }.into()
}

/// The rules that descriptors of one chunk keep.
struct ExtentRules {
    context: ContextId,
    length: u64,
    /// How much of the export there is from the request's offset on.
    room: u64,
    one: bool,
    narrow: bool,
}

impl ExtentRules {
    fn new(command: &Command, context: ContextId, facts: &Facts) -> Self {
        Self {
            context,
            length: command.length,
            room: facts.negotiated.info.size.saturating_sub(command.offset),
            one: command.flags.contains(CommandFlags::REQ_ONE),
            narrow: facts.contexts.is_narrow(context),
        }
    }

    /// How many descriptors at the front keep the rules, and how far they reach. An error only if the first
    /// does not, so that it does not matter how the stream was cut.
    fn longest_sound(&self, descriptors: Descriptors<'_>, mut reach: u64) -> Result<(u32, u64), Error> {
        let mut sound = 0;
        for descriptor in descriptors {
            match self.check(&descriptor, reach) {
                Ok(()) => {}
                Err(error) if sound == 0 => return Err(error),
                Err(_) => break,
            }
            reach = reach.saturating_add(descriptor.length);
            sound += 1;
        }
        Ok((sound, reach))
    }

    fn check(&self, descriptor: &Descriptor, reach: u64) -> Result<(), Error> {
        let context = self.context;
        if descriptor.length == 0 {
            return Err(InvalidMessage::EmptyExtent { context }.into());
        }
        // "that descriptor MUST NOT exceed the length of the original request" (spec,
        // `NBD_REPLY_TYPE_BLOCK_STATUS`). What goes past the end of the export is cut first.
        if self.one && descriptor.length.min(self.room) > self.length {
            return Err(PeerMisbehaved::MoreThanOneExtent.into());
        }
        // "the sum of the length fields of the first N-1 extents (if any) MUST be less than the requested length"
        // (ibid.). The first one is always welcome.
        if reach > 0 && reach >= self.length {
            return Err(PeerMisbehaved::ExtentBehindRequest { asked_length: self.length }.into());
        }
        // "For metadata contexts that only return a 32-bit status (including all contexts in the "base:"
        // namespace), the most-significant 32 bits of status MUST be all zeroes" (extended-headers extension).
        if self.narrow && descriptor.flags > u64::from(u32::MAX) {
            return Err(PeerMisbehaved::WideFlags { context, flags: descriptor.flags }.into());
        }
        Ok(())
    }
}

impl Request {
    fn takes(&self, chunk: ChunkType, command: CommandType) -> Result<(), PeerMisbehaved> {
        if self.command.command == command {
            return Ok(());
        }
        Err(PeerMisbehaved::WrongChunk { command: self.command.command, chunk })
    }

    /// Takes note of content, and says which part of the buffer it is.
    ///
    /// "The data MUST lie within the bounds of the original offset and length of the client's request, and MUST
    /// NOT overlap with the bounds of any earlier content chunk or error chunk in the same reply" (spec,
    /// `NBD_REPLY_TYPE_OFFSET_DATA`).
    fn content(&mut self, offset: u64, length: u64) -> Result<Range<usize>, PeerMisbehaved> {
        let Command { offset: asked_offset, length: asked_length, flags, .. } = self.command;
        let out_of_bounds = PeerMisbehaved::OutOfBounds { offset, length, asked_offset, asked_length };
        let Some(start) = offset.checked_sub(asked_offset) else { return Err(out_of_bounds) };
        let end = match start.checked_add(length) {
            Some(end) if end <= asked_length => end,
            _ => return Err(out_of_bounds),
        };
        if self.content && flags.contains(CommandFlags::DF) {
            return Err(PeerMisbehaved::Fragmented);
        }
        self.content = true;
        match self.coverage.insert(start, end) {
            Ok(()) => Ok(start as usize..end as usize),
            Err(Conflict::Overlap) => Err(PeerMisbehaved::Overlap { offset, length }),
            Err(Conflict::TooManyFragments) => Err(PeerMisbehaved::TooManyFragments),
        }
    }

    /// Takes note of where an error is.
    fn error_at(&mut self, offset: u64) -> Result<(), PeerMisbehaved> {
        let Command { command, offset: asked_offset, length: asked_length, .. } = self.command;
        if command == CommandType::FLUSH {
            // The chunk does not belong there, which fails the command and no more.
            return Ok(());
        }
        match offset.checked_sub(asked_offset) {
            Some(at) if at < asked_length => {
                if command == CommandType::READ {
                    // Content may not follow an error at the same place. Where it came first, all is well.
                    let _ = self.coverage.insert(at, at + 1);
                }
                Ok(())
            }
            _ => Err(PeerMisbehaved::ErrorOffsetOutOfBounds { offset, asked_offset, asked_length }),
        }
    }

    /// The command has failed. The first error is the one that is told.
    fn fail(&mut self, error: ErrorValue, message: &[u8], offset: Option<u64>) {
        if self.failure.is_none() {
            let error = ServerError { command: self.command.command, error, message: lossy(message), offset };
            self.failure = Some(error.into());
        }
    }

    /// How the command ended, once its last reply is through. A success has to be a whole one.
    pub(super) fn verdict(&mut self) -> Result<(), CommandError> {
        if let Some(failure) = self.failure.take() {
            return Err(CommandError::Server(failure));
        }
        match self.command.command {
            CommandType::READ => {
                let (covered, length) = (self.coverage.total(), self.command.length);
                if covered == length { Ok(()) } else { Err(CommandError::Incomplete { covered, length }) }
            }
            // "exactly one chunk [...] per selected context id" (spec, `NBD_CMD_BLOCK_STATUS`).
            CommandType::BLOCK_STATUS => match self.answers().progress() {
                (answered, asked) if answered < asked => Err(CommandError::ContextsMissing { answered, asked }),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
