//! A message of every kind.

use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::{CommandFlags, HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue, InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionRequest};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::{ExtendedReply, SimpleReply, StructuredReply};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

use crate::Seeds;

/// A stream, behind four bytes that mean nothing.
fn stream(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    payload(0, emit)
}

/// A payload under this number.
fn payload(number: u32, emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = number.to_be_bytes().to_vec();
    emit(&mut out);
    out
}

fn option(request: &OptionRequest<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.emit(&mut out);
    payload(request.option().0, |rest| rest.extend(&out[16..]))
}

fn reply(reply: &OptionReply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    reply.emit(OptionCode::GO, &mut out);
    payload(reply.reply().0, |rest| rest.extend(&out[20..]))
}

fn chunk(chunk: &Chunk<'_>) -> Vec<u8> {
    payload(chunk.chunk().0.into(), |rest| chunk.emit(rest))
}

pub fn seeds() -> Seeds {
    let facts = ExportFacts { size: 1 << 40, flags: TransmissionFlags::all() };
    let (cookie, offset) = (Cookie(7), 1 << 33);
    let (flags, command) = (CommandFlags::FUA, CommandType::WRITE);
    let contexts = MetaContextRequest { export: "a", queries: vec!["base:allocation", "qemu:"] };
    let info = InfoRequest { export: "a", requests: [InfoType::NAME, InfoType(77)].into_iter().collect() };
    let mut narrow = Vec::new();
    let mut wide = Vec::new();
    for length in [4096, 1 << 20] {
        Descriptor { length, flags: 3 }.emit(Width::Bits32, &mut narrow);
        Descriptor { length, flags: 3 }.emit(Width::Bits64, &mut wide);
    }
    let status = |width, bytes| Chunk::BlockStatus { context: ContextId(1), extents: Descriptors::new(width, bytes) };
    let error =
        ErrorChunk { chunk: ChunkType::ERROR, error: ErrorValue::EIO, message: b"text", offset: None, rest: b"" };
    let sizes = BlockSizes { minimum: 512, preferred: 4096, maximum: 1 << 25 };
    let filter =
        BlockStatusPayload { effect_length: 1 << 33, contexts: [ContextId(1), ContextId(2)].into_iter().collect() };
    vec![
        ("greeting", stream(|out| Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE).emit(out))),
        ("greeting_oldstyle", stream(|out| Greeting::Oldstyle(facts).emit(out))),
        ("export_facts", stream(|out| facts.emit(false, out))),
        ("option", stream(|out| OptionRequest::List.emit(out))),
        ("option_reply", stream(|out| OptionReply::Ack.emit(OptionCode::LIST, out))),
        ("request", stream(|out| CompactRequest { flags, command, cookie, offset, length: 5 }.emit(out))),
        ("request_extended", stream(|out| ExtendedRequest { flags, command, cookie, offset, length: 5 }.emit(out))),
        ("reply_simple", stream(|out| SimpleReply { error: ErrorValue::EIO, cookie }.emit(out))),
        (
            "reply_structured",
            stream(|out| {
                StructuredReply { flags: ReplyFlags::DONE, chunk: ChunkType::NONE, cookie, length: 0 }.emit(out);
            }),
        ),
        (
            "reply_extended",
            stream(|out| {
                ExtendedReply { flags: ReplyFlags::DONE, chunk: ChunkType::NONE, cookie, offset, length: 0 }.emit(out);
            }),
        ),
        ("option_go", option(&OptionRequest::Go(info))),
        ("option_contexts", option(&OptionRequest::SetMetaContext(contexts))),
        ("option_export_name", option(&OptionRequest::ExportName("a"))),
        ("reply_server", reply(&OptionReply::Server { name: "a", description: b"words" })),
        ("reply_context", reply(&OptionReply::MetaContext { id: ContextId(1), name: "base:allocation" })),
        ("reply_error", reply(&OptionReply::Error { reply: ReplyType::ERR_POLICY, message: b"no" })),
        ("info_export", reply(&OptionReply::Info(Info::Export(facts)))),
        ("info_name", reply(&OptionReply::Info(Info::Name("a")))),
        ("info_description", reply(&OptionReply::Info(Info::Description(b"words")))),
        ("info_block_size", reply(&OptionReply::Info(Info::BlockSize(sizes)))),
        ("chunk_data", chunk(&Chunk::OffsetData { offset, data: b"data" })),
        ("chunk_hole", chunk(&Chunk::OffsetHole(OffsetHole { offset, length: 512 }))),
        ("chunk_status", chunk(&status(Width::Bits32, &narrow))),
        ("chunk_status_extended", chunk(&status(Width::Bits64, &wide))),
        ("chunk_error", chunk(&Chunk::Error(error))),
        (
            "chunk_error_offset",
            chunk(&Chunk::Error(ErrorChunk { chunk: ChunkType::ERROR_OFFSET, offset: Some(offset), ..error })),
        ),
        ("status_filter", payload(7, |out| filter.emit(out))),
    ]
}
