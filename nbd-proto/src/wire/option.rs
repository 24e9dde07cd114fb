//! What a client asks for while options are haggled: a header of 16 bytes, then the option's payload
//! (spec, *Newstyle negotiation* and *Option types*).

use alloc::vec::Vec;
use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use super::number::{InfoType, OptionCode};
use super::{Parsed, magic, strings};
use crate::error::{Expected, Field, InvalidMessage, Message};

/// The header of every option request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHeader {
    /// What is asked.
    pub option: OptionCode,
    /// Length of the payload that follows, in bytes.
    pub length: u32,
}

impl OptionHeader {
    /// Length of the header in bytes.
    pub const LENGTH: usize = 16;

    /// Parses a header.
    pub fn parse(mut input: &[u8]) -> Parsed<Self> {
        let Ok(got) = input.try_get_u64() else { return Ok(None) };
        if got != magic::IHAVEOPT {
            return Err(InvalidMessage::Magic { message: Message::OptionRequest, got });
        }
        let (Ok(option), Ok(length)) = (input.try_get_u32(), input.try_get_u32()) else { return Ok(None) };
        Ok(Some((Self { option: OptionCode(option), length }, Self::LENGTH)))
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut impl BufMut) {
        out.put_u64(magic::IHAVEOPT);
        out.put_u32(self.option.0);
        out.put_u32(self.length);
    }
}

/// An option request with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionRequest<'a> {
    /// Enter transmission with this export; there is no way to answer with an error.
    ExportName(&'a str),
    /// Soft disconnect.
    Abort,
    /// Name all exports.
    List,
    /// Switch to TLS.
    StartTls,
    /// Tell about an export.
    Info(InfoRequest<'a>),
    /// Tell about an export and enter transmission with it.
    Go(InfoRequest<'a>),
    /// Use structured replies.
    StructuredReply,
    /// Name the metadata contexts of an export.
    ListMetaContext(MetaContextRequest<'a>),
    /// Select metadata contexts of an export.
    SetMetaContext(MetaContextRequest<'a>),
    /// Use extended headers.
    ExtendedHeaders,
    /// Any other option.
    Unknown {
        /// Its number.
        option: OptionCode,
        /// Its payload.
        payload: &'a [u8],
    },
}

/// Payload of `INFO` and `GO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoRequest<'a> {
    /// Name of the export; empty for the default one.
    pub export: &'a str,
    /// What the client wants to hear, beside `NBD_INFO_EXPORT`. A client must name none twice; parsing does not
    /// check it, since a server loses nothing by answering once.
    pub requests: SmallVec<[InfoType; 4]>,
}

/// Payload of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaContextRequest<'a> {
    /// Name of the export.
    pub export: &'a str,
    /// Which contexts. None: all (when listing), or no context at all (when setting).
    pub queries: Vec<&'a str>,
}

impl<'a> InfoRequest<'a> {
    fn parse(mut payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let export = export_name(&mut payload)?;
        let short = InvalidMessage::InnerLength { field: Field::InfoRequests, length: 2, room: payload.len() as u64 };
        let count = payload.try_get_u16().map_err(|_| short)?;
        let length = usize::from(count) * 2;
        let Some((requests, behind)) = payload.split_at_checked(length) else {
            let (length, room) = (length as u64, payload.len() as u64);
            return Err(InvalidMessage::InnerLength { field: Field::InfoRequests, length, room });
        };
        nothing_behind(behind)?;
        let requests = requests.chunks_exact(2).map(|mut two| InfoType(two.get_u16())).collect();
        Ok(Self { export, requests })
    }

    fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(self.export.len() as u32);
        out.put_slice(self.export.as_bytes());
        out.put_u16(self.requests.len() as u16);
        for request in &self.requests {
            out.put_u16(request.0);
        }
    }

    fn length(&self) -> usize {
        4 + self.export.len() + 2 + 2 * self.requests.len()
    }
}

impl<'a> MetaContextRequest<'a> {
    fn parse(mut payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let export = export_name(&mut payload)?;
        let count = string_length(Field::Queries, &mut payload)?;
        let mut queries = Vec::new();
        for _ in 0..count {
            let length = string_length(Field::Query, &mut payload)?;
            queries.push(strings::name(Field::Query, strings::inner(Field::Query, &mut payload, length)?)?);
        }
        nothing_behind(payload)?;
        Ok(Self { export, queries })
    }

    fn emit(&self, out: &mut impl BufMut) {
        out.put_u32(self.export.len() as u32);
        out.put_slice(self.export.as_bytes());
        out.put_u32(self.queries.len() as u32);
        for query in &self.queries {
            out.put_u32(query.len() as u32);
            out.put_slice(query.as_bytes());
        }
    }

    fn length(&self) -> usize {
        8 + self.export.len() + self.queries.iter().map(|query| 4 + query.len()).sum::<usize>()
    }
}

fn string_length(field: Field, payload: &mut &[u8]) -> Result<u64, InvalidMessage> {
    let room = payload.len() as u64;
    payload.try_get_u32().map(u64::from).map_err(|_| InvalidMessage::InnerLength { field, length: 4, room })
}

fn nothing_behind(rest: &[u8]) -> Result<(), InvalidMessage> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(InvalidMessage::TrailingBytes { message: Message::OptionRequest, extra: rest.len() as u64 })
}

fn export_name<'a>(payload: &mut &'a [u8]) -> Result<&'a str, InvalidMessage> {
    let length = string_length(Field::ExportName, payload)?;
    strings::name(Field::ExportName, strings::inner(Field::ExportName, payload, length)?)
}

impl<'a> OptionRequest<'a> {
    /// Which option this is.
    pub const fn option(&self) -> OptionCode {
        match self {
            Self::ExportName(_) => OptionCode::EXPORT_NAME,
            Self::Abort => OptionCode::ABORT,
            Self::List => OptionCode::LIST,
            Self::StartTls => OptionCode::STARTTLS,
            Self::Info(_) => OptionCode::INFO,
            Self::Go(_) => OptionCode::GO,
            Self::StructuredReply => OptionCode::STRUCTURED_REPLY,
            Self::ListMetaContext(_) => OptionCode::LIST_META_CONTEXT,
            Self::SetMetaContext(_) => OptionCode::SET_META_CONTEXT,
            Self::ExtendedHeaders => OptionCode::EXTENDED_HEADERS,
            Self::Unknown { option, .. } => *option,
        }
    }

    /// Parses the whole payload of an option. `ABORT` with a payload is accepted, as the specification asks;
    /// the other options without one must have none.
    pub fn parse(option: OptionCode, payload: &'a [u8]) -> Result<Self, InvalidMessage> {
        let empty = |request| {
            if payload.is_empty() {
                return Ok(request);
            }
            let got = payload.len() as u64;
            Err(InvalidMessage::Length { message: Message::OptionRequest, expected: Expected::Exactly(0), got })
        };
        match option {
            OptionCode::EXPORT_NAME => Ok(Self::ExportName(strings::name(Field::ExportName, payload)?)),
            OptionCode::ABORT => Ok(Self::Abort),
            OptionCode::LIST => empty(Self::List),
            OptionCode::STARTTLS => empty(Self::StartTls),
            OptionCode::INFO => Ok(Self::Info(InfoRequest::parse(payload)?)),
            OptionCode::GO => Ok(Self::Go(InfoRequest::parse(payload)?)),
            OptionCode::STRUCTURED_REPLY => empty(Self::StructuredReply),
            OptionCode::LIST_META_CONTEXT => Ok(Self::ListMetaContext(MetaContextRequest::parse(payload)?)),
            OptionCode::SET_META_CONTEXT => Ok(Self::SetMetaContext(MetaContextRequest::parse(payload)?)),
            OptionCode::EXTENDED_HEADERS => empty(Self::ExtendedHeaders),
            option => Ok(Self::Unknown { option, payload }),
        }
    }

    /// Appends header and payload.
    ///
    /// The payload must be under 4 GiB and hold fewer than 65,536 information requests; the handshake engine
    /// refuses longer ones before it comes to this.
    pub fn emit(&self, out: &mut impl BufMut) {
        OptionHeader { option: self.option(), length: self.payload_length() as u32 }.emit(out);
        match self {
            Self::ExportName(name) => out.put_slice(name.as_bytes()),
            Self::Info(request) | Self::Go(request) => request.emit(out),
            Self::ListMetaContext(request) | Self::SetMetaContext(request) => request.emit(out),
            Self::Unknown { payload, .. } => out.put_slice(payload),
            Self::Abort | Self::List | Self::StartTls | Self::StructuredReply | Self::ExtendedHeaders => {}
        }
    }

    /// Length of the payload in bytes.
    pub fn payload_length(&self) -> usize {
        match self {
            Self::ExportName(name) => name.len(),
            Self::Info(request) | Self::Go(request) => request.length(),
            Self::ListMetaContext(request) | Self::SetMetaContext(request) => request.length(),
            Self::Unknown { payload, .. } => payload.len(),
            Self::Abort | Self::List | Self::StartTls | Self::StructuredReply | Self::ExtendedHeaders => 0,
        }
    }
}
