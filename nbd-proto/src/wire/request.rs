//! Requests of the transmission phase (spec, *Request message*; the extended form from the extended-headers
//! extension).

use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use super::flags::CommandFlags;
use super::number::{CommandType, ContextId, Cookie};
use super::{Parsed, magic};
use crate::error::{Expected, InvalidMessage, Message};

/// A request header of 28 bytes. A `WRITE` is followed by `length` bytes of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactRequest {
    /// How to carry it out.
    pub flags: CommandFlags,
    /// What to do.
    pub command: CommandType,
    /// What the replies will be called.
    pub cookie: Cookie,
    /// Where, in bytes from the start of the export.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
}

/// A request header of 32 bytes, used once extended headers are agreed. With
/// [`CommandFlags::PAYLOAD_LEN`] it is followed by `length` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedRequest {
    /// How to carry it out.
    pub flags: CommandFlags,
    /// What to do.
    pub command: CommandType,
    /// What the replies will be called.
    pub cookie: Cookie,
    /// Where, in bytes from the start of the export.
    pub offset: u64,
    /// Length of the payload with [`CommandFlags::PAYLOAD_LEN`], else of the range acted on; in bytes.
    pub length: u64,
}

impl CompactRequest {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 28;

    /// Parses a header.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        let Some(mut rest) = header(input, magic::REQUEST, Self::LENGTH)? else { return Ok(None) };
        let request = Self {
            flags: CommandFlags::from_bits_retain(rest.get_u16()),
            command: CommandType(rest.get_u16()),
            cookie: Cookie(rest.get_u64()),
            offset: rest.get_u64(),
            length: rest.get_u32(),
        };
        Ok(Some((request, Self::LENGTH)))
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(magic::REQUEST);
        out.put_u16(self.flags.bits());
        out.put_u16(self.command.0);
        out.put_u64(self.cookie.0);
        out.put_u64(self.offset);
        out.put_u32(self.length);
    }
}

impl From<CompactRequest> for ExtendedRequest {
    fn from(request: CompactRequest) -> Self {
        let CompactRequest { flags, command, cookie, offset, length } = request;
        Self { flags, command, cookie, offset, length: u64::from(length) }
    }
}

impl ExtendedRequest {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 32;

    /// Parses a header.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        let Some(mut rest) = header(input, magic::EXTENDED_REQUEST, Self::LENGTH)? else { return Ok(None) };
        let request = Self {
            flags: CommandFlags::from_bits_retain(rest.get_u16()),
            command: CommandType(rest.get_u16()),
            cookie: Cookie(rest.get_u64()),
            offset: rest.get_u64(),
            length: rest.get_u64(),
        };
        Ok(Some((request, Self::LENGTH)))
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(magic::EXTENDED_REQUEST);
        out.put_u16(self.flags.bits());
        out.put_u16(self.command.0);
        out.put_u64(self.cookie.0);
        out.put_u64(self.offset);
        out.put_u64(self.length);
    }
}

/// The bytes behind the magic, once the whole header is there.
fn header(mut input: &[u8], expected: u32, length: usize) -> Result<Option<&[u8]>, InvalidMessage> {
    let whole = input.len() >= length;
    let Ok(got) = input.try_get_u32() else { return Ok(None) };
    if got != expected {
        return Err(InvalidMessage::Magic { message: Message::Request, got: u64::from(got) });
    }
    Ok(whole.then_some(input))
}

/// The payload form of `BLOCK_STATUS`: which contexts to answer for (extended-headers extension,
/// `NBD_CMD_BLOCK_STATUS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStatusPayload {
    /// How many bytes from the request's offset are of interest.
    pub effect_length: u64,
    /// The ids to answer for.
    pub contexts: SmallVec<[ContextId; 4]>,
}

impl BlockStatusPayload {
    /// Parses the whole payload: 8 bytes, then 4 for each context.
    pub fn parse(payload: &[u8]) -> Result<Self, InvalidMessage> {
        let (effect_length, contexts) = Self::view(payload)?;
        Ok(Self { effect_length, contexts: contexts.collect() })
    }

    /// The same, with the ids left where they are.
    pub(crate) fn view(mut payload: &[u8]) -> Result<(u64, impl Iterator<Item = ContextId> + '_), InvalidMessage> {
        let got = payload.len() as u64;
        if got < 8 || (got - 8) % 4 != 0 {
            let expected = Expected::Multiple { base: 8, of: 4 };
            return Err(InvalidMessage::Length { message: Message::BlockStatusPayload, expected, got });
        }
        let effect_length = payload.get_u64();
        Ok((effect_length, payload.chunks_exact(4).map(|mut four| ContextId(four.get_u32()))))
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut impl BufMut) {
        Self::emit_parts(self.effect_length, &self.contexts, out);
    }

    /// Appends the payload that these make.
    pub(crate) fn emit_parts(effect_length: u64, contexts: &[ContextId], out: &mut impl BufMut) {
        out.put_u64(effect_length);
        for context in contexts {
            out.put_u32(context.0);
        }
    }

    /// Length of the payload in bytes.
    pub fn length(&self) -> usize {
        8 + 4 * self.contexts.len()
    }
}
