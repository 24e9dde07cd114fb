//! What a client sends and what a server answers, as bytes.

use nbd_proto::wire::flags::ClientFlags;
use nbd_proto::wire::number::{InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionHeader, OptionRequest};
use nbd_proto::wire::option_reply::OptionReply;

/// The client flags with these bits.
pub(crate) fn client_flags(bits: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    ClientFlags::from_bits_retain(bits).emit(&mut bytes);
    bytes
}

/// An option.
pub(crate) fn option(request: &OptionRequest<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.emit(&mut bytes);
    bytes
}

/// An option with a payload that need not fit it.
pub(crate) fn raw(option: OptionCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(option, payload.len() as u32);
    bytes.extend_from_slice(payload);
    bytes
}

/// The header of an option whose payload claims this length.
pub(crate) fn header(option: OptionCode, length: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    OptionHeader { option, length }.emit(&mut bytes);
    bytes
}

/// `INFO` that asks for these.
pub(crate) fn info<'a>(export: &'a str, requests: &[InfoType]) -> OptionRequest<'a> {
    OptionRequest::Info(InfoRequest { export, requests: requests.into() })
}

/// `GO` that asks for these.
pub(crate) fn go<'a>(export: &'a str, requests: &[InfoType]) -> OptionRequest<'a> {
    OptionRequest::Go(InfoRequest { export, requests: requests.into() })
}

/// `LIST_META_CONTEXT`
pub(crate) fn list_contexts<'a>(export: &'a str, queries: &[&'a str]) -> OptionRequest<'a> {
    OptionRequest::ListMetaContext(MetaContextRequest { export, queries: queries.to_vec() })
}

/// `SET_META_CONTEXT`
pub(crate) fn set_contexts<'a>(export: &'a str, queries: &[&'a str]) -> OptionRequest<'a> {
    OptionRequest::SetMetaContext(MetaContextRequest { export, queries: queries.to_vec() })
}

/// These answers to one option.
pub(crate) fn replies(option: OptionCode, replies: &[OptionReply<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reply in replies {
        reply.emit(option, &mut bytes);
    }
    bytes
}

/// One acknowledgement.
pub(crate) fn ack(option: OptionCode) -> Vec<u8> {
    replies(option, &[OptionReply::Ack])
}

/// One error with these words.
pub(crate) fn error(option: OptionCode, reply: ReplyType, message: &str) -> Vec<u8> {
    replies(option, &[OptionReply::Error { reply, message: message.as_bytes() }])
}
