//! Headers of replies in the transmission phase (spec, *Simple reply message*, *Structured reply chunk
//! message*; the extended form from the extended-headers extension).

use bytes::{Buf, BufMut};

use super::flags::ReplyFlags;
use super::number::{ChunkType, Cookie, ErrorValue};
use super::{Parsed, magic};
use crate::error::{InvalidMessage, Message};

/// The whole of a simple reply but for the data of a successful `READ`. 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimpleReply {
    /// Zero for success.
    pub error: ErrorValue,
    /// The request answered.
    pub cookie: Cookie,
}

/// Header of a structured reply chunk. 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructuredReply {
    /// Whether more chunks follow.
    pub flags: ReplyFlags,
    /// How the payload is to be read.
    pub chunk: ChunkType,
    /// The request answered.
    pub cookie: Cookie,
    /// Length of the payload in bytes.
    pub length: u32,
}

/// Header of an extended reply chunk. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReply {
    /// Whether more chunks follow.
    pub flags: ReplyFlags,
    /// How the payload is to be read.
    pub chunk: ChunkType,
    /// The request answered.
    pub cookie: Cookie,
    /// The request's offset, echoed.
    pub offset: u64,
    /// Length of the payload in bytes.
    pub length: u64,
}

/// A reply header of any style, told apart by its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyHeader {
    /// See [`SimpleReply`].
    Simple(SimpleReply),
    /// See [`StructuredReply`].
    Structured(StructuredReply),
    /// See [`ExtendedReply`].
    Extended(ExtendedReply),
}

impl SimpleReply {
    /// Length of the message in bytes.
    pub const LENGTH: usize = 16;

    /// Appends the message.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(magic::SIMPLE_REPLY);
        out.put_u32(self.error.0);
        out.put_u64(self.cookie.0);
    }
}

impl StructuredReply {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 20;

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(magic::STRUCTURED_REPLY);
        out.put_u16(self.flags.bits());
        out.put_u16(self.chunk.0);
        out.put_u64(self.cookie.0);
        out.put_u32(self.length);
    }
}

impl ExtendedReply {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 32;

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(magic::EXTENDED_REPLY);
        out.put_u16(self.flags.bits());
        out.put_u16(self.chunk.0);
        out.put_u64(self.cookie.0);
        out.put_u64(self.offset);
        out.put_u64(self.length);
    }
}

impl ReplyHeader {
    /// Parses a header of whichever style the magic says.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        let mut rest = input;
        let Ok(got) = rest.try_get_u32() else { return Ok(None) };
        let length = match got {
            magic::SIMPLE_REPLY => SimpleReply::LENGTH,
            magic::STRUCTURED_REPLY => StructuredReply::LENGTH,
            magic::EXTENDED_REPLY => ExtendedReply::LENGTH,
            _ => return Err(InvalidMessage::Magic { message: Message::Reply, got: u64::from(got) }),
        };
        if input.len() < length {
            return Ok(None);
        }
        let header = if got == magic::SIMPLE_REPLY {
            Self::Simple(SimpleReply { error: ErrorValue(rest.get_u32()), cookie: Cookie(rest.get_u64()) })
        } else {
            let flags = ReplyFlags::from_bits_retain(rest.get_u16());
            let chunk = ChunkType(rest.get_u16());
            let cookie = Cookie(rest.get_u64());
            if got == magic::STRUCTURED_REPLY {
                Self::Structured(StructuredReply { flags, chunk, cookie, length: rest.get_u32() })
            } else {
                Self::Extended(ExtendedReply { flags, chunk, cookie, offset: rest.get_u64(), length: rest.get_u64() })
            }
        };
        Ok(Some((header, length)))
    }

    /// The request answered.
    pub const fn cookie(&self) -> Cookie {
        match self {
            Self::Simple(reply) => reply.cookie,
            Self::Structured(reply) => reply.cookie,
            Self::Extended(reply) => reply.cookie,
        }
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        match self {
            Self::Simple(reply) => reply.emit(out),
            Self::Structured(reply) => reply.emit(out),
            Self::Extended(reply) => reply.emit(out),
        }
    }
}
