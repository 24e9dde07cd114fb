//! Payloads of structured and extended reply chunks (spec, *Structured reply types*).

use bytes::{Buf, BufMut};

use super::number::{ChunkType, ContextId, ErrorValue};
use super::strings;
use crate::error::{Expected, Field, InvalidMessage, Message};
use crate::limits::MAX_EXTENTS;

/// A chunk with its whole payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// `NBD_REPLY_TYPE_NONE`
    None,
    /// `NBD_REPLY_TYPE_OFFSET_DATA`
    OffsetData {
        /// Where the data belongs, in bytes from the start of the export.
        offset: u64,
        /// The data, at least one byte.
        data: &'a [u8],
    },
    /// `NBD_REPLY_TYPE_OFFSET_HOLE`
    OffsetHole(OffsetHole),
    /// `NBD_REPLY_TYPE_BLOCK_STATUS` and `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`
    BlockStatus {
        /// The context.
        context: ContextId,
        /// What is known of consecutive ranges from the request's offset on.
        extents: Descriptors<'a>,
    },
    /// Any type with bit 15 set.
    Error(ErrorChunk<'a>),
    /// Any other type.
    Unknown {
        /// Its type.
        chunk: ChunkType,
        /// Its payload.
        payload: &'a [u8],
    },
}

/// `NBD_REPLY_TYPE_OFFSET_HOLE`: these bytes read as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetHole {
    /// Where, in bytes from the start of the export.
    pub offset: u64,
    /// How many bytes; never 0.
    pub length: u32,
}

/// Length and status of one range, as a server sent them. The range begins where the one before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// How many bytes; never 0.
    pub length: u64,
    /// What the context says of them.
    pub flags: u64,
}

/// Descriptors as they lie on the wire; an iterator.
#[derive(Clone, PartialEq, Eq)]
pub struct Descriptors<'a> {
    width: Width,
    bytes: &'a [u8],
}

/// Whether lengths and flags take 32 or 64 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `NBD_REPLY_TYPE_BLOCK_STATUS`
    Bits32,
    /// `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`
    Bits64,
}

/// The common start of every error chunk, and the offset of those that have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorChunk<'a> {
    /// Its type, with bit 15 set.
    pub chunk: ChunkType,
    /// What went wrong; never 0.
    pub error: ErrorValue,
    /// The server's own words, in whatever bytes it sent. May be empty.
    pub message: &'a [u8],
    /// Where it went wrong (`NBD_REPLY_TYPE_ERROR_OFFSET`), in bytes from the start of the export.
    pub offset: Option<u64>,
    /// What stands behind the message in an error chunk of unknown type.
    pub rest: &'a [u8],
}

/// How many bytes stand before the data of an `OFFSET_DATA` chunk.
pub const OFFSET_DATA_PREFIX: usize = 8;

impl OffsetHole {
    /// Length of the payload in bytes.
    pub const LENGTH: usize = 12;

    /// Parses the whole payload.
    pub fn parse(mut payload: &[u8]) -> Result<Self, InvalidMessage> {
        expect(Message::OffsetHole, Expected::Exactly(Self::LENGTH as u64), payload.len() as u64)?;
        let hole = Self { offset: payload.get_u64(), length: payload.get_u32() };
        if hole.length == 0 {
            return Err(InvalidMessage::EmptyHole);
        }
        Ok(hole)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u64(self.offset);
        out.put_u32(self.length);
    }
}

impl Width {
    /// The width that a chunk type uses, if it is a block status.
    pub const fn of(chunk: ChunkType) -> Option<Self> {
        match chunk {
            ChunkType::BLOCK_STATUS => Some(Self::Bits32),
            ChunkType::BLOCK_STATUS_EXT => Some(Self::Bits64),
            _ => None,
        }
    }

    /// How many bytes stand before the first descriptor: context id, and with 64 bits a count.
    pub const fn prefix(self) -> usize {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }

    /// How many bytes a descriptor takes.
    pub const fn descriptor(self) -> usize {
        match self {
            Self::Bits32 => 8,
            Self::Bits64 => 16,
        }
    }

    /// How many descriptors a chunk of this many payload bytes holds.
    ///
    /// Errors unless it is at least one, a whole number of them, and not above [`MAX_EXTENTS`].
    pub fn count(self, payload: u64) -> Result<u32, InvalidMessage> {
        let (base, of) = (self.prefix() as u64, self.descriptor() as u64);
        let count = payload.checked_sub(base).map(|rest| (rest / of, rest % of));
        match count {
            Some((count @ 1.., 0)) if count <= u64::from(MAX_EXTENTS) => Ok(count as u32),
            Some((1.., 0)) => {
                let expected = Expected::Between(base + of, base + of * u64::from(MAX_EXTENTS));
                Err(InvalidMessage::Length { message: Message::BlockStatus, expected, got: payload })
            }
            _ => {
                let expected = Expected::PositiveMultiple { base, of };
                Err(InvalidMessage::Length { message: Message::BlockStatus, expected, got: payload })
            }
        }
    }

    /// Parses what stands before the first descriptor, given the number that the payload length allows.
    /// `bytes` holds at least [`prefix`](Self::prefix) bytes, else `None`.
    pub fn parse_prefix(self, mut bytes: &[u8], count: u32) -> Result<Option<ContextId>, InvalidMessage> {
        let Ok(context) = bytes.try_get_u32() else { return Ok(None) };
        if self == Self::Bits64 {
            let Ok(told) = bytes.try_get_u32() else { return Ok(None) };
            // "The descriptor count field MUST correspond to the number of subsequent descriptors"
            // (extended-headers extension, `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`).
            if told != count {
                return Err(InvalidMessage::DescriptorCount { told, count });
            }
        }
        Ok(Some(ContextId(context)))
    }
}

impl<'a> Descriptors<'a> {
    /// Views bytes as descriptors; a last, incomplete one is left out.
    pub fn new(width: Width, bytes: &'a [u8]) -> Self {
        let whole = bytes.len() - bytes.len() % width.descriptor();
        Self { width, bytes: &bytes[..whole] }
    }

    /// How the descriptors lie on the wire.
    pub const fn width(&self) -> Width {
        self.width
    }

    /// The bytes not yet iterated.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Iterator for Descriptors<'_> {
    type Item = Descriptor;

    fn next(&mut self) -> Option<Descriptor> {
        match self.width {
            Width::Bits32 => {
                let length = u64::from(self.bytes.try_get_u32().ok()?);
                Some(Descriptor { length, flags: u64::from(self.bytes.try_get_u32().ok()?) })
            }
            Width::Bits64 => {
                let length = self.bytes.try_get_u64().ok()?;
                Some(Descriptor { length, flags: self.bytes.try_get_u64().ok()? })
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len() / self.width.descriptor();
        (count, Some(count))
    }
}

impl ExactSizeIterator for Descriptors<'_> {}

impl core::fmt::Debug for Descriptors<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl Descriptor {
    /// Appends the descriptor. With [`Width::Bits32`] length and flags must fit 32 bits.
    pub fn emit(&self, width: Width, out: &mut impl BufMut) {
        match width {
            Width::Bits32 => {
                out.put_u32(self.length as u32);
                out.put_u32(self.flags as u32);
            }
            Width::Bits64 => {
                out.put_u64(self.length);
                out.put_u64(self.flags);
            }
        }
    }
}

impl<'a> ErrorChunk<'a> {
    /// Checks what a header alone tells: whether a chunk of this type can have this length.
    ///
    /// An error chunk has to be seen whole, so its length is bounded here: the fixed part of its type plus a
    /// string, and for an unknown type as much again for fields nobody knows.
    pub fn check_length(chunk: ChunkType, length: u64) -> Result<(), InvalidMessage> {
        let string = crate::limits::MAX_STRING as u64;
        let expected = match chunk {
            ChunkType::ERROR => Expected::Between(6, 6 + string),
            ChunkType::ERROR_OFFSET => Expected::Between(14, 14 + string),
            _ => Expected::Between(6, 6 + 2 * string),
        };
        expect(Message::ErrorChunk, expected, length)
    }

    /// Parses the whole payload of an error chunk.
    pub fn parse(chunk: ChunkType, payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        Self::check_length(chunk, payload.len() as u64)?;
        let mut rest = payload;
        let error = ErrorValue(rest.get_u32());
        let length = u64::from(rest.get_u16());
        // "message length (no more than header length - 6)", or 14 where an offset follows.
        let tail = if chunk == ChunkType::ERROR_OFFSET { 8 } else { 0 };
        let room = (rest.len() - tail) as u64;
        if length > room {
            return Err(InvalidMessage::InnerLength { field: Field::ErrorMessage, length, room });
        }
        let message = strings::inner(Field::ErrorMessage, &mut rest, length)?;
        let message = strings::human(Field::ErrorMessage, message)?;
        let offset = if chunk == ChunkType::ERROR_OFFSET { rest.try_get_u64().ok() } else { None };
        let known = matches!(chunk, ChunkType::ERROR | ChunkType::ERROR_OFFSET);
        if known && !rest.is_empty() {
            return Err(InvalidMessage::TrailingBytes { message: Message::ErrorChunk, extra: rest.len() as u64 });
        }
        if error.0 == 0 {
            return Err(InvalidMessage::ErrorChunkWithoutError { chunk });
        }
        Ok(Self { chunk, error, message, offset, rest })
    }

    /// Appends the payload. The message must be at most 65535 bytes (and 4096 to be legal).
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(self.error.0);
        out.put_u16(self.message.len() as u16);
        out.put_slice(self.message);
        if let Some(offset) = self.offset {
            out.put_u64(offset);
        }
        out.put_slice(self.rest);
    }
}

impl<'a> Chunk<'a> {
    /// Parses the whole payload of a chunk.
    pub fn parse(chunk: ChunkType, payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let length = payload.len() as u64;
        match chunk {
            ChunkType::NONE => {
                expect(Message::NoneChunk, Expected::Exactly(0), length)?;
                Ok(Self::None)
            }
            ChunkType::OFFSET_DATA => {
                expect(Message::OffsetData, Expected::AtLeast(OFFSET_DATA_PREFIX as u64 + 1), length)?;
                let mut rest = payload;
                Ok(Self::OffsetData { offset: rest.get_u64(), data: rest })
            }
            ChunkType::OFFSET_HOLE => Ok(Self::OffsetHole(OffsetHole::parse(payload)?)),
            chunk if chunk.is_error() => Ok(Self::Error(ErrorChunk::parse(chunk, payload)?)),
            chunk => match Width::of(chunk) {
                Some(width) => Self::parse_block_status(width, payload),
                None => Ok(Self::Unknown { chunk, payload }),
            },
        }
    }

    fn parse_block_status(width: Width, payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let count = width.count(payload.len() as u64)?;
        let (prefix, bytes) = payload.split_at(width.prefix());
        let context = width.parse_prefix(prefix, count)?.unwrap_or(ContextId(0));
        let extents = Descriptors::new(width, bytes);
        if extents.clone().any(|descriptor| descriptor.length == 0) {
            return Err(InvalidMessage::EmptyExtent { context });
        }
        Ok(Self::BlockStatus { context, extents })
    }

    /// What kind of chunk this is.
    pub const fn chunk(&self) -> ChunkType {
        match self {
            Self::None => ChunkType::NONE,
            Self::OffsetData { .. } => ChunkType::OFFSET_DATA,
            Self::OffsetHole(_) => ChunkType::OFFSET_HOLE,
            Self::BlockStatus { extents, .. } => match extents.width {
                Width::Bits32 => ChunkType::BLOCK_STATUS,
                Width::Bits64 => ChunkType::BLOCK_STATUS_EXT,
            },
            Self::Error(error) => error.chunk,
            Self::Unknown { chunk, .. } => *chunk,
        }
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut impl BufMut) {
        match self {
            Self::None => {}
            Self::OffsetData { offset, data } => {
                out.put_u64(*offset);
                out.put_slice(data);
            }
            Self::OffsetHole(hole) => hole.emit(out),
            Self::BlockStatus { context, extents } => {
                out.put_u32(context.0);
                if extents.width == Width::Bits64 {
                    out.put_u32(extents.len() as u32);
                }
                out.put_slice(extents.bytes);
            }
            Self::Error(error) => error.emit(out),
            Self::Unknown { payload, .. } => out.put_slice(payload),
        }
    }
}

pub(crate) fn expect(message: Message, expected: Expected, got: u64) -> Result<(), InvalidMessage> {
    if expected.holds(got) { Ok(()) } else { Err(InvalidMessage::Length { message, expected, got }) }
}
