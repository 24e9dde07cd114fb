//! Whole streams of servers, from the greeting on.

use nbd_proto::fuzzing::ClientSessionHeader;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::{CommandFlags, HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, ContextId, Cookie, ErrorValue, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::{ExtendedReply, SimpleReply, StructuredReply};

use crate::Seeds;

const FACTS: ExportFacts =
    ExportFacts { size: 1 << 20, flags: TransmissionFlags::all().difference(TransmissionFlags::READ_ONLY) };

fn greeting() -> Vec<u8> {
    let mut out = Vec::new();
    Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES).emit(&mut out);
    out
}

fn replies(out: &mut Vec<u8>, list: &[OptionReply<'_>]) {
    list.iter().for_each(|reply| reply.emit(OptionCode(0), out));
}

const INFOS: [OptionReply<'static>; 4] = [
    OptionReply::Info(Info::Export(FACTS)),
    OptionReply::Info(Info::Description(b"words")),
    OptionReply::Info(Info::BlockSize(BlockSizes { minimum: 1, preferred: 4096, maximum: 1 << 16 })),
    OptionReply::Ack,
];

const CONTEXT: OptionReply<'static> = OptionReply::MetaContext { id: ContextId(1), name: "base:allocation" };

fn structured(out: &mut Vec<u8>, cookie: u64, last: bool, chunk: &Chunk<'_>) {
    let (flags, payload) = parts(last, chunk);
    let length = payload.len() as u32;
    StructuredReply { flags, chunk: chunk.chunk(), cookie: Cookie(cookie), length }.emit(out);
    out.extend(payload);
}

fn extended(out: &mut Vec<u8>, cookie: u64, offset: u64, last: bool, chunk: &Chunk<'_>) {
    let (flags, payload) = parts(last, chunk);
    let length = payload.len() as u64;
    ExtendedReply { flags, chunk: chunk.chunk(), cookie: Cookie(cookie), offset, length }.emit(out);
    out.extend(payload);
}

fn parts(last: bool, chunk: &Chunk<'_>) -> (ReplyFlags, Vec<u8>) {
    let mut payload = Vec::new();
    chunk.emit(&mut payload);
    (if last { ReplyFlags::DONE } else { ReplyFlags::empty() }, payload)
}

fn commands() -> Vec<Command> {
    let one = Command::block_status(0, 4096).with_flags(CommandFlags::REQ_ONE);
    vec![Command::read(512, 128), Command::write(0, 64), Command::block_status(0, 1 << 20), one, Command::flush()]
}

pub fn seeds() -> Seeds {
    let data: Vec<u8> = (0..128).collect();
    let no = OptionReply::Error { reply: ReplyType::ERR_UNSUP, message: b"not here" };
    let header = ClientSessionHeader::new(&commands());
    let error = Chunk::Error(ErrorChunk {
        chunk: ChunkType::ERROR_OFFSET,
        error: ErrorValue::EIO,
        message: b"no luck",
        offset: Some(520),
        rest: b"",
    });
    let hole = |offset| Chunk::OffsetHole(OffsetHole { offset, length: 64 });
    let mut seeds = Seeds::new();

    let mut stream = greeting();
    // The list of contexts is asked for twice, because the first has nothing of `qemu:`.
    let ack = OptionReply::Ack;
    replies(&mut stream, &[ack, CONTEXT, ack, ack, CONTEXT, ack]);
    replies(&mut stream, &INFOS);
    extended(&mut stream, 0, 512, false, &Chunk::OffsetData { offset: 576, data: &data[..64] });
    extended(&mut stream, 1, 0, true, &Chunk::None);
    extended(&mut stream, 0, 512, true, &hole(512));
    for (cookie, extents) in [(2, &[(65_536, 0), (1 << 40, 3)][..]), (3, &[(4096, 1)][..])] {
        let mut bytes = Vec::new();
        extents.iter().for_each(|(length, flags)| {
            Descriptor { length: *length, flags: *flags }.emit(Width::Bits64, &mut bytes);
        });
        let extents = Descriptors::new(Width::Bits64, &bytes);
        extended(&mut stream, cookie, 0, true, &Chunk::BlockStatus { context: ContextId(1), extents });
    }
    extended(&mut stream, 4, 0, true, &Chunk::None);
    seeds.push(("extended", header.before(&stream)));
    seeds.push(("extended_and_disconnected", ClientSessionHeader { ways: 1 << 4, ..header }.before(&stream)));

    let mut stream = greeting();
    replies(&mut stream, &[no, OptionReply::Ack, no, CONTEXT, OptionReply::Ack]);
    replies(&mut stream, &INFOS);
    structured(&mut stream, 0, false, &Chunk::OffsetData { offset: 512, data: &data[..64] });
    structured(&mut stream, 0, true, &error);
    SimpleReply { error: ErrorValue::ENOSPC, cookie: Cookie(1) }.emit(&mut stream);
    let bytes = [0, 0, 16, 0, 0, 0, 0, 3];
    let extents = Descriptors::new(Width::Bits32, &bytes);
    for cookie in [3, 2] {
        let extents = extents.clone();
        structured(&mut stream, cookie, true, &Chunk::BlockStatus { context: ContextId(1), extents });
    }
    SimpleReply { error: ErrorValue::ESHUTDOWN, cookie: Cookie(4) }.emit(&mut stream);
    seeds.push(("structured", header.before(&stream)));

    let mut stream = greeting();
    replies(&mut stream, &[no, no, no]);
    replies(&mut stream, &[OptionReply::Server { name: "", description: b"" }, OptionReply::Ack]);
    FACTS.emit(true, &mut stream);
    // Cookies as other clients choose them.
    SimpleReply { error: ErrorValue(0), cookie: Cookie(0x1000) }.emit(&mut stream);
    stream.extend(&data);
    SimpleReply { error: ErrorValue(0), cookie: Cookie(0x1001) }.emit(&mut stream);
    SimpleReply { error: ErrorValue(0), cookie: Cookie(0x1002) }.emit(&mut stream);
    seeds.push(("simple_by_export_name", header.before(&stream)));

    let mut stream = Vec::new();
    Greeting::Oldstyle(FACTS).emit(&mut stream);
    SimpleReply { error: ErrorValue(0), cookie: Cookie(1) }.emit(&mut stream);
    SimpleReply { error: ErrorValue(0), cookie: Cookie(0) }.emit(&mut stream);
    stream.extend(&data);
    seeds.push(("oldstyle", header.before(&stream)));

    let mut stream = greeting();
    replies(&mut stream, &[OptionReply::Ack]);
    let clear = (stream.len() as u16).to_be_bytes();
    replies(&mut stream, &[OptionReply::Ack]);
    replies(&mut stream, &INFOS);
    extended(&mut stream, 0, 512, true, &hole(512));
    let tls = ClientSessionHeader { wishes: 0b1101, ways: 0b1010, clear, ..header };
    seeds.push(("tls", tls.before(&stream)));
    seeds.push(("clear_text_behind_starttls", ClientSessionHeader { clear: [0xff; 2], ..tls }.before(&stream)));
    seeds
}
