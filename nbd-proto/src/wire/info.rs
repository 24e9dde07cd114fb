//! The payload of `NBD_REP_INFO` (spec, `NBD_REP_INFO`).

use bytes::{Buf, BufMut};

use super::flags::TransmissionFlags;
use super::greeting::ExportFacts;
use super::number::InfoType;
use super::strings;
use crate::error::{Expected, Field, InvalidMessage, Message};

/// One piece of information about an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info<'a> {
    /// `NBD_INFO_EXPORT`: size and flags.
    Export(ExportFacts),
    /// `NBD_INFO_NAME`: the server's canonical name of the export.
    Name(&'a str),
    /// `NBD_INFO_DESCRIPTION`: text for people, in whatever bytes the server sent.
    Description(&'a [u8]),
    /// `NBD_INFO_BLOCK_SIZE`: the server's size constraints.
    BlockSize(BlockSizes),
    /// Anything else, whole.
    Unknown {
        /// Its type.
        info: InfoType,
        /// Its payload behind the type.
        payload: &'a [u8],
    },
}

/// Size constraints of a server, in bytes (spec, *Size constraints*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// The smallest length, and the alignment, of a request. A power of two.
    pub minimum: u32,
    /// The smallest efficient length and alignment. A power of two, not below `minimum`.
    pub preferred: u32,
    /// The largest payload of one request. `0xffff_ffff`: no fixed bound.
    pub maximum: u32,
}

impl BlockSizes {
    /// Checks the rules whose breach cannot be worked with (O4 in the behaviour list): `minimum` a power of
    /// two, `preferred` a power of two not below it, `maximum` not below `minimum`. The specification also
    /// bounds `minimum` above by 65536 and `preferred` below by 512, and wants `maximum` not below
    /// `preferred`: real servers break these and can still be served.
    pub const fn check(&self) -> Result<(), InvalidMessage> {
        let sound = self.minimum.is_power_of_two()
            && self.preferred.is_power_of_two()
            && self.preferred >= self.minimum
            && self.maximum >= self.minimum;
        if sound { Ok(()) } else { Err(InvalidMessage::BlockSizes { sizes: *self }) }
    }

    /// Whether the values also keep the rules of the specification that [`check`](Self::check) lets pass.
    pub const fn keeps_the_specification(&self) -> bool {
        self.check().is_ok() && self.minimum <= 65_536 && self.preferred >= 512 && self.maximum >= self.preferred
    }
}

impl<'a> Info<'a> {
    /// Parses the whole payload of an `NBD_REP_INFO`.
    pub fn parse(payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let mut rest = payload;
        let wrong = |message, expected| InvalidMessage::Length { message, expected, got: payload.len() as u64 };
        let Ok(info) = rest.try_get_u16() else { return Err(wrong(Message::Info, Expected::AtLeast(2))) };
        match InfoType(info) {
            InfoType::EXPORT => {
                if payload.len() != 12 {
                    return Err(wrong(Message::InfoExport, Expected::Exactly(12)));
                }
                let size = rest.get_u64();
                let flags = TransmissionFlags::from_bits_retain(rest.get_u16());
                Ok(Self::Export(ExportFacts { size, flags }))
            }
            InfoType::NAME => Ok(Self::Name(strings::name(Field::ExportName, rest)?)),
            InfoType::DESCRIPTION => Ok(Self::Description(strings::human(Field::Description, rest)?)),
            InfoType::BLOCK_SIZE => {
                if payload.len() != 14 {
                    return Err(wrong(Message::InfoBlockSize, Expected::Exactly(14)));
                }
                let sizes = BlockSizes { minimum: rest.get_u32(), preferred: rest.get_u32(), maximum: rest.get_u32() };
                sizes.check()?;
                Ok(Self::BlockSize(sizes))
            }
            info => Ok(Self::Unknown { info, payload: rest }),
        }
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut impl BufMut) {
        match self {
            Self::Export(facts) => {
                out.put_u16(InfoType::EXPORT.0);
                out.put_u64(facts.size);
                out.put_u16(facts.flags.bits());
            }
            Self::Name(name) => {
                out.put_u16(InfoType::NAME.0);
                out.put_slice(name.as_bytes());
            }
            Self::Description(text) => {
                out.put_u16(InfoType::DESCRIPTION.0);
                out.put_slice(text);
            }
            Self::BlockSize(sizes) => {
                out.put_u16(InfoType::BLOCK_SIZE.0);
                out.put_u32(sizes.minimum);
                out.put_u32(sizes.preferred);
                out.put_u32(sizes.maximum);
            }
            Self::Unknown { info, payload } => {
                out.put_u16(info.0);
                out.put_slice(payload);
            }
        }
    }
}
