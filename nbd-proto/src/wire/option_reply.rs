//! What a fixed newstyle server answers to an option: a header of 20 bytes, then the reply's payload
//! (spec, *Fixed newstyle negotiation* and *Option reply types*).

use bytes::{Buf, BufMut};

use super::info::Info;
use super::number::{ContextId, OptionCode, ReplyType};
use super::{Parsed, magic, strings};
use crate::error::{Expected, Field, InvalidMessage, Message};
use crate::limits::{MAX_STRING, MAX_UNKNOWN_INFO};

/// The header of every option reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionReplyHeader {
    /// The option this answers.
    pub option: OptionCode,
    /// What kind of answer.
    pub reply: ReplyType,
    /// Length of the payload that follows, in bytes.
    pub length: u32,
}

impl OptionReplyHeader {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 20;

    /// Parses a header, and holds the payload length it tells against the bound of its kind.
    pub fn parse(mut input: &[u8]) -> Parsed<Self> {
        let Ok(got) = input.try_get_u64() else { return Ok(None) };
        if got != magic::OPTION_REPLY {
            return Err(InvalidMessage::Magic { message: Message::OptionReply, got });
        }
        let (Ok(option), Ok(reply), Ok(length)) = (input.try_get_u32(), input.try_get_u32(), input.try_get_u32())
        else {
            return Ok(None);
        };
        let header = Self { option: OptionCode(option), reply: ReplyType(reply), length };
        header.check_length()?;
        Ok(Some((header, Self::LENGTH)))
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u64(magic::OPTION_REPLY);
        out.put_u32(self.option.0);
        out.put_u32(self.reply.0);
        out.put_u32(self.length);
    }

    fn check_length(&self) -> Result<(), InvalidMessage> {
        let string = MAX_STRING as u32;
        let (message, expected) = match self.reply {
            ReplyType::ACK => (Message::Ack, Expected::Exactly(0)),
            ReplyType::SERVER => (Message::Server, Expected::Between(4, u64::from(4 + 2 * string))),
            ReplyType::INFO => (Message::Info, Expected::Between(2, u64::from(MAX_UNKNOWN_INFO))),
            // The name of a context is never empty.
            ReplyType::META_CONTEXT => (Message::MetaContext, Expected::Between(5, u64::from(4 + string))),
            reply if reply.is_error() => (Message::ErrorReply, Expected::Between(0, u64::from(string))),
            // Whoever knows the option knows what to make of it.
            _ => return Ok(()),
        };
        let got = u64::from(self.length);
        if expected.holds(got) { Ok(()) } else { Err(InvalidMessage::Length { message, expected, got }) }
    }
}

/// An option reply with its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionReply<'a> {
    /// Success, and the last reply.
    Ack,
    /// `NBD_REP_SERVER`: one export.
    Server {
        /// Its name.
        name: &'a str,
        /// Text for people behind the name, in whatever bytes the server sent.
        description: &'a [u8],
    },
    /// `NBD_REP_INFO`
    Info(Info<'a>),
    /// `NBD_REP_META_CONTEXT`: one metadata context.
    MetaContext {
        /// Its id in the transmission phase; means nothing when it was only listed.
        id: ContextId,
        /// Its name, `namespace:leaf`.
        name: &'a str,
    },
    /// Failure, and the last reply.
    Error {
        /// Why, with bit 31 set.
        reply: ReplyType,
        /// The server's own words, in whatever bytes it sent. May be empty.
        message: &'a [u8],
    },
    /// Any other reply.
    Unknown {
        /// Its type, with bit 31 clear.
        reply: ReplyType,
        /// Its payload.
        payload: &'a [u8],
    },
}

impl<'a> OptionReply<'a> {
    /// What kind of reply this is.
    pub const fn reply(&self) -> ReplyType {
        match self {
            Self::Ack => ReplyType::ACK,
            Self::Server { .. } => ReplyType::SERVER,
            Self::Info(_) => ReplyType::INFO,
            Self::MetaContext { .. } => ReplyType::META_CONTEXT,
            Self::Error { reply, .. } | Self::Unknown { reply, .. } => *reply,
        }
    }

    /// Parses the whole payload of a reply.
    pub fn parse(reply: ReplyType, payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let mut rest = payload;
        let wrong = |message, expected| InvalidMessage::Length { message, expected, got: payload.len() as u64 };
        match reply {
            ReplyType::ACK if payload.is_empty() => Ok(Self::Ack),
            ReplyType::ACK => Err(wrong(Message::Ack, Expected::Exactly(0))),
            ReplyType::SERVER => {
                let length = rest.try_get_u32().map_err(|_| wrong(Message::Server, Expected::AtLeast(4)))?;
                let name = strings::inner(Field::ExportName, &mut rest, u64::from(length))?;
                let name = strings::name(Field::ExportName, name)?;
                Ok(Self::Server { name, description: strings::human(Field::Description, rest)? })
            }
            ReplyType::INFO => Ok(Self::Info(Info::parse(payload)?)),
            ReplyType::META_CONTEXT => {
                let id = rest.try_get_u32().map_err(|_| wrong(Message::MetaContext, Expected::AtLeast(5)))?;
                if rest.is_empty() {
                    return Err(wrong(Message::MetaContext, Expected::AtLeast(5)));
                }
                Ok(Self::MetaContext { id: ContextId(id), name: strings::name(Field::ContextName, rest)? })
            }
            reply if reply.is_error() => {
                Ok(Self::Error { reply, message: strings::human(Field::ErrorMessage, payload)? })
            }
            reply => Ok(Self::Unknown { reply, payload }),
        }
    }

    /// Appends header and payload. The payload must be under 4 GiB.
    pub fn emit(&self, option: OptionCode, out: &mut impl BufMut) {
        let length = self.payload_length() as u32;
        OptionReplyHeader { option, reply: self.reply(), length }.emit(out);
        match self {
            Self::Ack => {}
            Self::Server { name, description } => {
                out.put_u32(name.len() as u32);
                out.put_slice(name.as_bytes());
                out.put_slice(description);
            }
            Self::Info(info) => info.emit(out),
            Self::MetaContext { id, name } => {
                out.put_u32(id.0);
                out.put_slice(name.as_bytes());
            }
            Self::Error { message: bytes, .. } | Self::Unknown { payload: bytes, .. } => out.put_slice(bytes),
        }
    }

    fn payload_length(&self) -> usize {
        match self {
            Self::Ack => 0,
            Self::Server { name, description } => 4 + name.len() + description.len(),
            Self::Info(Info::Export(_)) => 12,
            Self::Info(Info::BlockSize(_)) => 14,
            Self::Info(Info::Name(name)) => 2 + name.len(),
            Self::Info(Info::Description(bytes) | Info::Unknown { payload: bytes, .. }) => 2 + bytes.len(),
            Self::MetaContext { name, .. } => 4 + name.len(),
            Self::Error { message: bytes, .. } | Self::Unknown { payload: bytes, .. } => bytes.len(),
        }
    }
}
