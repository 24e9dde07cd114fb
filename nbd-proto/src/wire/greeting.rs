//! What a server says first, and what ends an `EXPORT_NAME` (spec, *Handshake*).

use bytes::{Buf, BufMut};

use super::flags::{ClientFlags, HandshakeFlags, TransmissionFlags};
use super::{Parsed, magic};
use crate::error::{InvalidMessage, Message};

/// How many reserved zero bytes end an oldstyle greeting, and an `EXPORT_NAME` reply without `NO_ZEROES`.
pub const ZEROES: usize = 124;

/// A server's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Everything is said already: the transmission phase follows at once.
    Oldstyle(ExportFacts),
    /// The client answers with [`ClientFlags`], then options are haggled.
    Newstyle(HandshakeFlags),
}

/// Size and flags of an export, as both `EXPORT_NAME` and the oldstyle greeting tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportFacts {
    /// Size of the export in bytes.
    pub size: u64,
    /// What the export can do.
    pub flags: TransmissionFlags,
}

impl Greeting {
    /// Parses the start of a server's stream. The reserved zeroes are skipped, not checked.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        let mut rest = input;
        let Ok(first) = rest.try_get_u64() else { return Ok(None) };
        if first != magic::NBDMAGIC {
            return Err(InvalidMessage::Magic { message: Message::Greeting, got: first });
        }
        let Ok(style) = rest.try_get_u64() else { return Ok(None) };
        match style {
            magic::IHAVEOPT => {
                let Ok(bits) = rest.try_get_u16() else { return Ok(None) };
                Ok(Some((Self::Newstyle(HandshakeFlags::from_bits_retain(bits)), 18)))
            }
            magic::OLDSTYLE => {
                let (Ok(size), Ok(bits)) = (rest.try_get_u64(), rest.try_get_u32()) else { return Ok(None) };
                // Spec, *Newstyle negotiation*: the upper half of these 32 bits are the handshake flags, and "the
                // server MUST NOT set any of these flags during oldstyle negotiation".
                let Ok(bits) = u16::try_from(bits) else {
                    return Err(InvalidMessage::OldstyleFlags { got: bits });
                };
                if rest.len() < ZEROES {
                    return Ok(None);
                }
                let facts = ExportFacts { size, flags: TransmissionFlags::from_bits_retain(bits) };
                Ok(Some((Self::Oldstyle(facts), 28 + ZEROES)))
            }
            _ => Err(InvalidMessage::Magic { message: Message::GreetingStyle, got: style }),
        }
    }

    /// Appends the message.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u64(magic::NBDMAGIC);
        match self {
            Self::Newstyle(flags) => {
                out.put_u64(magic::IHAVEOPT);
                out.put_u16(flags.bits());
            }
            Self::Oldstyle(facts) => {
                out.put_u64(magic::OLDSTYLE);
                out.put_u64(facts.size);
                out.put_u32(u32::from(facts.flags.bits()));
                out.put_bytes(0, ZEROES);
            }
        }
    }
}

impl ClientFlags {
    /// Parses a newstyle client's answer to the greeting: 4 bytes.
    pub fn parse(mut input: &[u8]) -> Option<(Self, usize)> {
        input.try_get_u32().ok().map(|bits| (Self::from_bits_retain(bits), 4))
    }

    /// Appends the message.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(self.bits());
    }
}

impl ExportFacts {
    /// Parses the answer to `EXPORT_NAME`: 10 bytes, then [`ZEROES`] unless `no_zeroes` was agreed.
    pub fn parse(mut input: &[u8], no_zeroes: bool) -> Option<(Self, usize)> {
        let length = Self::length(no_zeroes);
        if input.len() < length {
            return None;
        }
        let size = input.try_get_u64().ok()?;
        let flags = TransmissionFlags::from_bits_retain(input.try_get_u16().ok()?);
        Some((Self { size, flags }, length))
    }

    /// Appends the answer to `EXPORT_NAME`.
    pub fn emit(&self, no_zeroes: bool, out: &mut impl BufMut) {
        out.put_u64(self.size);
        out.put_u16(self.flags.bits());
        out.put_bytes(0, Self::length(no_zeroes) - 10);
    }

    const fn length(no_zeroes: bool) -> usize {
        if no_zeroes { 10 } else { 10 + ZEROES }
    }
}
