//! Answers turned into replies of the agreed style: the framing, and which range of which buffer goes between it.

use super::answer::{Failure, ReadPart};
use super::event::RequestId;
use super::table::Served;
use crate::error::Refused;
use crate::handshake::{Negotiated, ReplyStyle};
use crate::limits::MAX_EXTENTS;
use crate::observe::{Hook, Observation};
use crate::text::cut;
use crate::transmission::outbound::SendQueue;
use crate::transmission::slots::SlotIndex;
use crate::wire::chunk::{Descriptor, ErrorChunk, OFFSET_DATA_PREFIX, OffsetHole, Width};
use crate::wire::flags::{CommandFlags, ReplyFlags};
use crate::wire::number::{ChunkType, CommandType, ContextId, ErrorValue};
use crate::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

#[derive(Debug)]
pub(super) struct Replies {
    pub(super) queue: SendQueue<RequestId>,
    style: ReplyStyle,
}

/// The request that is answered.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) served: &'a Served,
    pub(super) slot: SlotIndex,
    pub(super) id: RequestId,
}

impl Replies {
    pub(super) fn new(style: ReplyStyle) -> Self {
        Self { queue: SendQueue::default(), style }
    }

    /// Whether holes can be told of in the answer to a `READ`: "If the area being read contains both data and a
    /// hole, the server MUST use `NBD_REPLY_TYPE_OFFSET_DATA`" where DF is set (spec, `NBD_CMD_READ`).
    pub(super) fn take_holes(&self, command: CommandType, flags: CommandFlags) -> bool {
        command == CommandType::READ && self.style != ReplyStyle::Simple && !flags.contains(CommandFlags::DF)
    }

    /// Success of a request whose answer has no content.
    pub(super) fn success(&mut self, to: Answered<'_>, hook: &mut Hook) {
        // "the server [...] MUST NOT use a simple reply for `NBD_CMD_READ`" (spec, *Structured reply chunk message*):
        // this one is the answer to a read of nothing.
        if self.style == ReplyStyle::Structured && to.served.command == CommandType::READ {
            self.chunk(to, ChunkType::NONE, true, 0, hook);
        } else {
            self.plain(to, ErrorValue(0), hook);
        }
        self.queue.end_request(to.slot);
    }

    /// Failure of a request.
    pub(super) fn failure(&mut self, to: Answered<'_>, failure: &Failure<'_>, hook: &mut Hook) {
        let error = sendable(failure.error, to.served);
        if self.style == ReplyStyle::Simple {
            self.plain(to, error, hook);
        } else {
            let served = to.served;
            let within = |at: &u64| at.checked_sub(served.offset).is_some_and(|at| at < served.length);
            let offset = failure.offset.filter(within);
            let chunk = if offset.is_some() { ChunkType::ERROR_OFFSET } else { ChunkType::ERROR };
            let error = ErrorChunk { chunk, error, message: cut(failure.message).as_bytes(), offset, rest: &[] };
            let length = 6 + error.message.len() + if offset.is_some() { 8 } else { 0 };
            self.chunk(to, chunk, true, length as u64, hook);
            self.queue.push_framing(|out| error.emit(out));
        }
        self.queue.end_request(to.slot);
    }

    /// The content of a `READ`. The parts cover its length.
    pub(super) fn read(&mut self, to: Answered<'_>, parts: &[ReadPart], hook: &mut Hook) {
        let Served { command, flags, length, .. } = *to.served;
        if self.take_holes(command, flags) {
            let mut at = 0;
            for part in parts {
                let (start, count) = (at, part.length());
                at += count;
                match part {
                    ReadPart::Data(_) => self.data(to, start, count, at == length, hook),
                    ReadPart::Hole(_) => self.hole(to, start, count, at == length, hook),
                }
            }
        } else if self.style == ReplyStyle::Simple {
            self.plain(to, ErrorValue(0), hook);
            self.queue.push_payload(to.id, 0..length as usize);
        } else if parts.iter().all(|part| matches!(part, ReadPart::Hole(_))) {
            self.hole(to, 0, length, true, hook);
        } else {
            self.data(to, 0, length, true, hook);
        }
        self.queue.end_request(to.slot);
    }

    fn data(&mut self, to: Answered<'_>, at: u64, count: u64, last: bool, hook: &mut Hook) {
        // The length of a structured chunk has 32 bits.
        let most = u64::from(u32::MAX) - OFFSET_DATA_PREFIX as u64;
        let mut done = 0;
        while done < count {
            let piece = (count - done).min(most);
            let start = at + done;
            done += piece;
            self.chunk(to, ChunkType::OFFSET_DATA, last && done == count, OFFSET_DATA_PREFIX as u64 + piece, hook);
            self.queue.push_framing(|out| out.extend_from_slice(&(to.served.offset + start).to_be_bytes()));
            self.queue.push_payload(to.id, start as usize..(start + piece) as usize);
        }
    }

    fn hole(&mut self, to: Answered<'_>, at: u64, count: u64, last: bool, hook: &mut Hook) {
        // A read is never longer than the maximum payload, and so never than 32 bits.
        let hole = OffsetHole { offset: to.served.offset + at, length: count as u32 };
        self.chunk(to, ChunkType::OFFSET_HOLE, last, OffsetHole::LENGTH as u64, hook);
        self.queue.push_framing(|out| hole.emit(out));
    }

    /// One context of a block status.
    pub(super) fn context(
        &mut self,
        to: Answered<'_>,
        (context, extents): (ContextId, &[Descriptor]),
        last: bool,
        facts: &Negotiated,
        hook: &mut Hook,
    ) {
        let width = self.width();
        let fitted = Fitted::new(extents, to.served, width, facts);
        let count = fitted.clone().count();
        let length = width.prefix() + count * width.descriptor();
        let chunk = if width == Width::Bits64 { ChunkType::BLOCK_STATUS_EXT } else { ChunkType::BLOCK_STATUS };
        self.chunk(to, chunk, last, length as u64, hook);
        self.queue.push_framing(|out| {
            out.extend_from_slice(&context.0.to_be_bytes());
            if width == Width::Bits64 {
                out.extend_from_slice(&(count as u32).to_be_bytes());
            }
            fitted.for_each(|descriptor| descriptor.emit(width, out));
        });
        if last {
            self.queue.end_request(to.slot);
        }
    }

    /// What speaks against telling these extents.
    pub(super) fn check_extents(
        &self,
        extents: &[Descriptor],
        served: &Served,
        facts: &Negotiated,
    ) -> Result<(), Refused> {
        let refused = |reason| Err(Refused::Answer { reason });
        if extents.first().is_none_or(|first| first.length == 0) {
            return refused("a context has no extents, or an empty one first");
        }
        if self.width() == Width::Bits32 && extents.iter().any(|extent| u32::try_from(extent.flags).is_err()) {
            return refused("flags of more than 32 bits need extended headers");
        }
        // "The server MUST use descriptor lengths that are an integer multiple of any advertised minimum block size"
        // (spec, `NBD_CMD_BLOCK_STATUS`). The request begins at one, so what counts is where each ends that is told.
        let mut at = served.offset;
        let aligned = Fitted::new(extents, served, self.width(), facts).all(|told| {
            at += told.length;
            at % u64::from(facts.minimum_block()) == 0 || at == facts.info.size
        });
        if !aligned {
            return refused("an extent is no multiple of the minimum block size");
        }
        Ok(())
    }

    fn width(&self) -> Width {
        if self.style == ReplyStyle::Extended { Width::Bits64 } else { Width::Bits32 }
    }

    /// A reply without content: a simple one, or with extended headers, which have none, an empty chunk. Those never
    /// carry an error: that is a chunk of its own kind.
    fn plain(&mut self, to: Answered<'_>, error: ErrorValue, hook: &mut Hook) {
        if self.style == ReplyStyle::Extended {
            self.chunk(to, ChunkType::NONE, true, 0, hook);
            return;
        }
        let reply = SimpleReply { error, cookie: to.served.cookie };
        hook.observe(|| Observation::Reply { command: to.served.command, header: ReplyHeader::Simple(reply) });
        self.queue.push_framing(|out| reply.emit(out));
    }

    fn chunk(&mut self, to: Answered<'_>, chunk: ChunkType, last: bool, length: u64, hook: &mut Hook) {
        let Served { cookie, offset, command, .. } = *to.served;
        let flags = if last { ReplyFlags::DONE } else { ReplyFlags::empty() };
        let header = if self.style == ReplyStyle::Extended {
            ReplyHeader::Extended(ExtendedReply { flags, chunk, cookie, offset, length })
        } else {
            ReplyHeader::Structured(StructuredReply { flags, chunk, cookie, length: length as u32 })
        };
        hook.observe(|| Observation::Reply { command, header });
        self.queue.push_framing(|out| header.emit(out));
    }
}

/// The error number that goes out for what a caller says. "The server SHOULD NOT return `NBD_ENOTSUP` except as
/// documented in response to `NBD_CMD_WRITE_ZEROES` when `NBD_CMD_FLAG_FAST_ZERO` is supported" (spec, *Error
/// values*).
fn sendable(error: ErrorValue, served: &Served) -> ErrorValue {
    let fast = served.command == CommandType::WRITE_ZEROES && served.flags.contains(CommandFlags::FAST_ZERO);
    match error {
        ErrorValue(0) => ErrorValue::EIO,
        ErrorValue::ENOTSUP if !fast => ErrorValue::EINVAL,
        error => error,
    }
}

/// Extents as they can be told: from the request's offset on, not past the end of the export, as long as a
/// descriptor can say, and no further than the request, but for the last one.
#[derive(Clone)]
struct Fitted<'a> {
    extents: core::slice::Iter<'a, Descriptor>,
    /// What is left of an extent that one descriptor cannot tell of.
    rest: Option<Descriptor>,
    width: Width,
    at: u64,
    /// Where the request ends.
    end: u64,
    size: u64,
    one: bool,
    left: u32,
}

impl<'a> Fitted<'a> {
    fn new(extents: &'a [Descriptor], served: &Served, width: Width, facts: &Negotiated) -> Self {
        let one = served.flags.contains(CommandFlags::REQ_ONE);
        // "the server MAY exceed the maximum payload by the fixed amount of overhead required in the structured
        // reply" (spec, *Size constraints*), and by no more.
        let most = (facts.maximum_payload() / width.descriptor() as u32).clamp(1, MAX_EXTENTS);
        Self {
            extents: extents.iter(),
            rest: None,
            width,
            at: served.offset,
            end: served.offset + served.length,
            size: facts.info.size,
            one,
            left: if one { 1 } else { most },
        }
    }
}

impl Iterator for Fitted<'_> {
    type Item = Descriptor;

    fn next(&mut self) -> Option<Descriptor> {
        if self.left == 0 || self.at >= self.end {
            return None;
        }
        let Descriptor { length, flags } = self.rest.take().or_else(|| self.extents.next().copied())?;
        // "each chunk contains exactly one descriptor where the *length* of the descriptor MUST NOT be greater than
        // the *length* of the request" (spec, `NBD_CMD_BLOCK_STATUS`, of REQ_ONE).
        let length = length.min(if self.one { self.end } else { self.size } - self.at);
        // A multiple of any block size there is, so that what follows stays aligned.
        let most = if self.width == Width::Bits32 { 0xffff_0000 } else { u64::MAX };
        let told = length.min(most);
        if length == 0 {
            return None;
        }
        if told < length {
            self.rest = Some(Descriptor { length: length - told, flags });
        }
        self.at += told;
        self.left -= 1;
        Some(Descriptor { length: told, flags })
    }
}
