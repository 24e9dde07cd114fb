//! What servers say: headers, chunks, and the sound ones put together.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::chunk::{Chunk, Descriptor, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::ReplyFlags;
use nbd_proto::wire::number::{ChunkType, ContextId, Cookie, ErrorValue};
use nbd_proto::wire::reply::{ExtendedReply, SimpleReply, StructuredReply};

use super::harness::Link;

/// More chunks follow.
pub(crate) const MORE: ReplyFlags = ReplyFlags::empty();
/// The last chunk of a reply.
pub(crate) const LAST: ReplyFlags = ReplyFlags::DONE;

impl Link {
    pub(crate) fn width(&self) -> Width {
        if self.style == ReplyStyle::Extended { Width::Bits64 } else { Width::Bits32 }
    }

    /// A chunk with any payload.
    pub(crate) fn raw(&self, cookie: Cookie, flags: ReplyFlags, chunk: ChunkType, payload: &[u8]) -> Vec<u8> {
        [&self.header(cookie, flags, chunk, payload.len() as u64)[..], payload].concat()
    }

    /// The header of a chunk that claims any length.
    pub(crate) fn header(&self, cookie: Cookie, flags: ReplyFlags, chunk: ChunkType, length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if self.style == ReplyStyle::Extended {
            let offset = self.commands.get(&cookie).map_or(0, |command| command.offset);
            ExtendedReply { flags, chunk, cookie, offset, length }.emit(&mut out);
        } else {
            StructuredReply { flags, chunk, cookie, length: length as u32 }.emit(&mut out);
        }
        out
    }

    pub(crate) fn chunk(&self, cookie: Cookie, flags: ReplyFlags, chunk: &Chunk<'_>) -> Vec<u8> {
        let mut payload = Vec::new();
        chunk.emit(&mut payload);
        self.raw(cookie, flags, chunk.chunk(), &payload)
    }

    pub(crate) fn status(
        &self,
        cookie: Cookie,
        flags: ReplyFlags,
        context: ContextId,
        extents: &[(u64, u64)],
    ) -> Vec<u8> {
        let (width, chunk) = match self.style {
            ReplyStyle::Extended => (Width::Bits64, ChunkType::BLOCK_STATUS_EXT),
            _ => (Width::Bits32, ChunkType::BLOCK_STATUS),
        };
        self.raw(cookie, flags, chunk, &status_payload(width, context, extents))
    }
}

/// The payload of a block status chunk.
pub(crate) fn status_payload(width: Width, context: ContextId, extents: &[(u64, u64)]) -> Vec<u8> {
    let mut payload = context.0.to_be_bytes().to_vec();
    if width == Width::Bits64 {
        payload.extend((extents.len() as u32).to_be_bytes());
    }
    for (length, flags) in extents {
        Descriptor { length: *length, flags: *flags }.emit(width, &mut payload);
    }
    payload
}

pub(crate) fn simple(cookie: Cookie, error: ErrorValue) -> Vec<u8> {
    let mut out = Vec::new();
    SimpleReply { error, cookie }.emit(&mut out);
    out
}

pub(crate) const OK: ErrorValue = ErrorValue(0);

pub(crate) fn data(offset: u64, data: &[u8]) -> Chunk<'_> {
    Chunk::OffsetData { offset, data }
}

pub(crate) fn hole(offset: u64, length: u32) -> Chunk<'static> {
    Chunk::OffsetHole(OffsetHole { offset, length })
}

pub(crate) fn failed(error: ErrorValue, message: &[u8]) -> Chunk<'_> {
    Chunk::Error(ErrorChunk { chunk: ChunkType::ERROR, error, message, offset: None, rest: b"" })
}

pub(crate) fn failed_at(error: ErrorValue, offset: u64) -> Chunk<'static> {
    let chunk = ChunkType::ERROR_OFFSET;
    Chunk::Error(ErrorChunk { chunk, error, message: b"", offset: Some(offset), rest: b"" })
}
