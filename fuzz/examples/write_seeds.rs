//! Writes the seeds of all targets to `fuzz/seeds/`: those of `nbd-proto` made with its emitters, those of the kernel's
//! netlink socket by hand, for a host of little-endian order.
//!
//! See the tops of `nbd-proto/src/fuzzing/*.rs` and `nbd-kernel/src/fuzzing/*.rs` for what the first bytes mean.

use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::{HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, ContextId, Cookie, ErrorValue, InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

fn main() {
    let targets = [
        ("netlink_reply", netlink_replies()),
        ("option_reply", option_replies()),
        ("structured_chunk", structured_chunks()),
    ];
    for (target, seeds) in targets {
        let folder = format!("{}/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds {
            std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
        }
    }
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

// ---- netlink_reply ----

const PORT: u32 = 77;
const CONTROLLER: u16 = 16;
const FAMILY: u16 = 28;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const EXTENDED_TEXT: u16 = 0x200;
const CAPPED: u16 = 0x100;

/// What is asked, and the datagrams that come.
fn asked(what: u8, datagrams: &[&[Vec<u8>]]) -> Vec<u8> {
    let mut seed = vec![what];
    for datagram in datagrams.iter().map(|messages| messages.concat()) {
        seed.extend((datagram.len() as u16).to_be_bytes());
        seed.extend(datagram);
    }
    seed
}

fn netlink(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (16 + payload.len() as u32).to_le_bytes().to_vec();
    out.extend([kind, flags].map(u16::to_le_bytes).concat());
    out.extend([sequence, PORT].map(u32::to_le_bytes).concat());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A message of a family, in answer to the request of this number.
fn answer(kind: u16, sequence: u32, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    netlink(kind, 0, sequence, &[vec![command, 1, 0, 0], attributes.concat()].concat())
}

/// The end of an answer; the request's header, or all of it, comes back.
fn end(flags: u16, sequence: u32, code: i32, request: usize, text: &[Vec<u8>]) -> Vec<u8> {
    let mut echo = vec![0; request];
    echo[..4].copy_from_slice(&(request as u32).to_le_bytes());
    netlink(ERROR, flags, sequence, &[code.to_le_bytes().to_vec(), echo, text.concat()].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [4 + value.len() as u16, kind].map(u16::to_le_bytes).concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_le_bytes())
}

fn devices(states: &[(u32, u8)]) -> Vec<u8> {
    let item =
        |(index, connected): &(u32, u8)| attribute(1, &[number(1, *index), attribute(2, &[*connected])].concat());
    attribute(9, &states.iter().map(item).collect::<Vec<_>>().concat())
}

fn netlink_replies() -> Seeds {
    let ok = |sequence| end(CAPPED, sequence, 0, 16, &[]);
    let group = |name: &[u8], id| attribute(1, &[attribute(1, name), number(2, id)].concat());
    let family = answer(
        CONTROLLER,
        1,
        1,
        &[
            attribute(2, b"nbd\0"),
            attribute(1, &FAMILY.to_le_bytes()),
            number(3, 1),
            attribute(6, &attribute(1, &[number(1, 1), number(2, 10)].concat())),
            attribute(7, &[group(b"other\0", 40), group(b"nbd_mc_group\0", 7)].concat()),
            attribute(77, b"new"),
        ],
    );
    let connected = |index| answer(FAMILY, 2, 1, &[number(1, index)]);
    let few = devices(&[(0, 1), (1, 0), (2, 0), (700, 1)]);
    let listed = |list: &Vec<u8>| answer(FAMILY, 2, 5, &[list.clone()]);
    let text = [attribute(1, b"no such luck\0"), number(2, 20)];
    let dead = |index| answer(FAMILY, 0, 4, &[number(1, index)]);
    vec![
        ("family", asked(0, &[&[family.clone()], &[ok(1)]])),
        ("family_absent", asked(0, &[&[end(CAPPED, 1, -2, 16, &[])]])),
        ("connect_any", asked(1, &[&[connected(3)], &[ok(2)]])),
        ("connect_in_one_datagram", asked(2, &[&[connected(3), ok(2)]])),
        ("connect_another", asked(2, &[&[connected(4)], &[ok(2)]])),
        ("connect_busy", asked(2, &[&[end(0, 2, -16, 60, &[])]])),
        ("connect_text", asked(1, &[&[end(CAPPED | EXTENDED_TEXT, 2, -22, 16, &text)]])),
        ("connect_text_behind_request", asked(1, &[&[end(EXTENDED_TEXT, 2, -22, 60, &text)]])),
        ("connect_missing", asked(1, &[&[end(CAPPED | EXTENDED_TEXT, 2, -22, 16, &[number(5, 2)])]])),
        ("connect_late", asked(1, &[&[ok(1)], &[netlink(1, 0, 2, &[]), connected(0)], &[ok(2)]])),
        ("reconfigure", asked(3, &[&[ok(2)]])),
        ("disconnect_refused", asked(4, &[&[end(CAPPED, 2, -1, 16, &[])]])),
        ("status_few", asked(5, &[&[listed(&few)], &[ok(2)]])),
        ("status_parts", asked(5, &[&[listed(&few), listed(&few)], &[netlink(DONE, 2, 2, &[0; 4])]])),
        ("status_one", asked(6, &[&[listed(&devices(&[(3, 1)]))], &[ok(2)]])),
        ("status_none", asked(6, &[&[listed(&devices(&[]))], &[ok(2)]])),
        ("events", asked(7, &[&[dead(3), dead(9), answer(29, 0, 4, &[])], &[answer(FAMILY, 0, 1, &[])], &[dead(3)]])),
    ]
}

// ---- structured_chunk ----

const SIMPLE: u8 = 0;
const STRUCTURED: u8 = 1;
const EXTENDED: u8 = 2;
const READ: u8 = 0;
const BLOCK_STATUS: u8 = 2;
const BLOCK_STATUS_FOR_CONTEXTS: u8 = 0x82;
const WRITE: u8 = 3;
const FLUSH: u8 = 4;
const TRIM: u8 = 5;
const DF: u8 = 4;
const REQ_ONE: u8 = 8;

/// A command as the body reads it: kind, flags, offset in 64 bytes, length in 16.
type Command = [u8; 4];

fn case(style: u8, late: u8, commands: &[Command]) -> Vec<u8> {
    let mut seed = vec![style, commands.len() as u8 - 1, late, 0x93, 0x06, 0xff];
    seed.extend(commands.iter().flatten());
    seed
}

fn simple(out: &mut Vec<u8>, index: u64, error: ErrorValue) {
    SimpleReply { error, cookie: Cookie(index) }.emit(out);
}

/// A chunk in answer to the command of this index.
fn chunk(out: &mut Vec<u8>, commands: &[Command], index: usize, last: bool, chunk: &Chunk<'_>) {
    let flags = if last { ReplyFlags::DONE } else { ReplyFlags::empty() };
    let mut payload = Vec::new();
    chunk.emit(&mut payload);
    let (kind, cookie, length) = (chunk.chunk(), Cookie(index as u64), payload.len());
    let header = if out[0] == EXTENDED {
        let offset = u64::from(commands[index][2]) * 64;
        ReplyHeader::Extended(ExtendedReply { flags, chunk: kind, cookie, offset, length: length as u64 })
    } else {
        ReplyHeader::Structured(StructuredReply { flags, chunk: kind, cookie, length: length as u32 })
    };
    header.emit(out);
    out.append(&mut payload);
}

fn error(kind: ChunkType, error: ErrorValue, offset: Option<u64>) -> Chunk<'static> {
    let rest: &[u8] = if kind.name().is_some() { b"" } else { b"more" };
    Chunk::Error(ErrorChunk { chunk: kind, error, message: b"no such luck", offset, rest })
}

fn status(out: &mut Vec<u8>, commands: &[Command], index: usize, last: bool, context: u32, extents: &[(u64, u64)]) {
    let width = if out[0] == EXTENDED { Width::Bits64 } else { Width::Bits32 };
    let mut bytes = Vec::new();
    for (length, flags) in extents {
        Descriptor { length: *length, flags: *flags }.emit(width, &mut bytes);
    }
    let extents = Descriptors::new(width, &bytes);
    chunk(out, commands, index, last, &Chunk::BlockStatus { context: ContextId(context), extents });
}

fn structured_chunks() -> Seeds {
    let data: Vec<u8> = (0..=255).collect();
    let mut seeds = Seeds::new();

    let commands = [[READ, 0, 1, 4], [WRITE, 0, 2, 2], [FLUSH, 0, 0, 0], [READ, 0, 8, 1]];
    let mut out = case(SIMPLE, 40, &commands);
    simple(&mut out, 1, ErrorValue(0));
    simple(&mut out, 0, ErrorValue(0));
    out.extend(&data[..64]);
    simple(&mut out, 3, ErrorValue::EIO);
    simple(&mut out, 2, ErrorValue::ESHUTDOWN);
    seeds.push(("simple_out_of_order", out));

    for (style, name, failing) in [
        (STRUCTURED, "structured_read_interleaved", "structured_errors"),
        (EXTENDED, "extended_read_interleaved", "extended_errors"),
    ] {
        let commands = [[READ, 0, 1, 8], [READ, DF, 4, 2], [WRITE, 0, 9, 1]];
        let mut out = case(style, 0, &commands);
        chunk(&mut out, &commands, 0, false, &Chunk::OffsetData { offset: 128, data: &data[..64] });
        chunk(&mut out, &commands, 1, true, &Chunk::OffsetData { offset: 256, data: &data[..32] });
        chunk(&mut out, &commands, 0, false, &Chunk::OffsetHole(OffsetHole { offset: 64, length: 32 }));
        chunk(&mut out, &commands, 2, true, &Chunk::None);
        chunk(&mut out, &commands, 0, false, &Chunk::OffsetData { offset: 96, data: &data[..32] });
        chunk(&mut out, &commands, 0, true, &Chunk::None);
        seeds.push((name, out));

        let commands = [[READ, 0, 1, 8], [TRIM, 0, 4, 255], [READ, 0, 4, 2], [WRITE, 0, 9, 1]];
        let mut out = case(style, 17, &commands);
        chunk(&mut out, &commands, 0, false, &Chunk::OffsetData { offset: 64, data: &data[..64] });
        chunk(&mut out, &commands, 0, false, &error(ChunkType::ERROR_OFFSET, ErrorValue::EIO, Some(70)));
        chunk(&mut out, &commands, 0, true, &Chunk::OffsetHole(OffsetHole { offset: 128, length: 64 }));
        chunk(&mut out, &commands, 1, true, &error(ChunkType::ERROR, ErrorValue(12345), None));
        chunk(&mut out, &commands, 2, true, &Chunk::OffsetHole(OffsetHole { offset: 256, length: 16 }));
        chunk(&mut out, &commands, 3, true, &error(ChunkType(0x8077), ErrorValue::ESHUTDOWN, None));
        seeds.push((failing, out));
    }

    let commands = [[BLOCK_STATUS, 0, 0, 255], [BLOCK_STATUS, REQ_ONE, 1, 4]];
    let mut out = case(STRUCTURED, 0, &commands);
    status(&mut out, &commands, 0, false, 1, &[(1024, 0), (512, 3), (100_000, 1)]);
    status(&mut out, &commands, 1, false, 1, &[(64, 0)]);
    status(&mut out, &commands, 0, false, u32::MAX, &[(1 << 31, 7)]);
    status(&mut out, &commands, 1, false, 2, &[(16, 1)]);
    status(&mut out, &commands, 0, true, 2, &[(1024, 0), (512, 3)]);
    status(&mut out, &commands, 1, true, u32::MAX, &[(32, u64::MAX)]);
    seeds.push(("structured_block_status", out));

    let commands = [[BLOCK_STATUS, 0, 2, 255], [BLOCK_STATUS_FOR_CONTEXTS, 0, 1, 4]];
    let mut out = case(EXTENDED, 3, &commands);
    status(&mut out, &commands, 0, false, 1, &[(1024, 0), (512, 3), (1 << 60, 1)]);
    status(&mut out, &commands, 1, false, 1, &[(64, 0)]);
    status(&mut out, &commands, 0, false, 2, &[(4096, 1)]);
    status(&mut out, &commands, 1, true, 2, &[(16, 1)]);
    status(&mut out, &commands, 0, true, u32::MAX, &[(1, u64::MAX), (1 << 40, 1)]);
    seeds.push(("extended_block_status", out));
    seeds
}

// ---- option_reply ----

const INTERACTIVE: u8 = 0x10;
const CONNECT: u8 = 0x11;
const LIST: u8 = 0x12;
/// Without a greeting put in front.
const CONNECT_BARE: u8 = 0x01;
const LIST_BARE: u8 = 0x02;
const TLS_OPPORTUNISTIC: u8 = 1 << 2;
const TLS_REQUIRED: u8 = 2 << 2;
const ALL_WISHES: u8 = 0x7f;

fn script(basics: u8, wishes: u8, options: &[u8], limit: u8, clear: &[u8], tls: &[u8]) -> Vec<u8> {
    let [high, low] = (clear.len() as u16).to_be_bytes();
    let mut seed = vec![basics, wishes, options.len() as u8, 7, 0x9e, 0, 0x3f, high, low, limit];
    seed.extend(options);
    seed.extend(clear);
    seed.extend(tls);
    seed
}

/// Option replies whose option number the body fills in.
fn replies(list: &[OptionReply<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for reply in list {
        reply.emit(OptionCode(0), &mut out);
    }
    out
}

fn option_replies() -> Seeds {
    let facts = ExportFacts { size: 1 << 20, flags: TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_FLUSH };
    let sizes = BlockSizes { minimum: 1, preferred: 4096, maximum: 1 << 25 };
    let no = |reply| OptionReply::Error { reply, message: b"not here" };
    let context = |id, name| OptionReply::MetaContext { id: ContextId(id), name };
    let server = |name| OptionReply::Server { name, description: b"one of ours" };
    let ack = OptionReply::Ack;
    let export = OptionReply::Info(Info::Export(facts));
    let all_infos = [
        export,
        OptionReply::Info(Info::Name("canonical")),
        OptionReply::Info(Info::Description(b"text \xff")),
        OptionReply::Info(Info::BlockSize(sizes)),
        OptionReply::Info(Info::Unknown { info: InfoType(0x77), payload: &[7; 100] }),
        ack,
    ];
    let mut seeds = Seeds::new();

    // The list of contexts is asked for twice, because the first has nothing of `qemu:`.
    let (base, bitmap) = (context(1, "base:allocation"), context(2, "qemu:dirty-bitmap:b"));
    let mut list = vec![ack, base, ack, bitmap, ack, base, bitmap, ack];
    list.extend(all_infos);
    seeds.push(("connect_extended_contexts", script(CONNECT, ALL_WISHES, &[], 0, &replies(&list), &[])));

    let list = [no(ReplyType::ERR_UNSUP), no(ReplyType::ERR_UNSUP), no(ReplyType::ERR_UNSUP), server(""), ack];
    let mut stream = replies(&list);
    facts.emit(true, &mut stream);
    seeds.push(("connect_export_name", script(CONNECT, ALL_WISHES, &[], 0, &stream, &[])));

    let mut stream = Vec::new();
    Greeting::Oldstyle(facts).emit(&mut stream);
    seeds.push(("connect_oldstyle", script(CONNECT_BARE, 0, &[], 0, &stream, &[])));
    seeds.push(("list_oldstyle", script(LIST_BARE, 0, &[], 0, &stream, &[])));

    let mut stream = Vec::new();
    Greeting::Newstyle(HandshakeFlags::empty()).emit(&mut stream);
    facts.emit(false, &mut stream);
    seeds.push(("connect_newstyle", script(CONNECT_BARE, 0, &[], 0, &stream, &[])));

    let mut list = vec![ack];
    list.extend(all_infos);
    let (clear, tls) = (replies(&[ack]), replies(&list));
    seeds.push(("connect_tls_required", script(CONNECT | TLS_REQUIRED, 1, &[], 0, &clear, &tls)));
    let mut both = clear.clone();
    both.extend(&tls);
    seeds.push(("connect_clear_behind_starttls", script(CONNECT | TLS_REQUIRED, 1, &[], 0, &both, &[])));
    let list = [no(ReplyType::ERR_POLICY), no(ReplyType::ERR_TLS_REQD)];
    seeds.push(("connect_tls_refused", script(CONNECT | TLS_OPPORTUNISTIC, 1, &[], 0, &replies(&list), &[])));

    let mut list = vec![ack, server("a"), server("b"), ack];
    list.extend(all_infos);
    list.extend([context(0, "base:allocation"), ack, context(0, "qemu:allocation-depth"), ack]);
    list.push(no(ReplyType::ERR_UNKNOWN));
    seeds.push(("list_with_details", script(LIST, ALL_WISHES, &[], 0, &replies(&list), &[])));

    let list = [no(ReplyType::ERR_UNSUP), ack, server("a"), server("b"), server("c"), ack];
    seeds.push(("list_over_limit", script(LIST, 0b11, &[], 2, &replies(&list), &[])));

    // Every option once: STRUCTURED_REPLY, LIST, INFO, LIST_META_CONTEXT, SET_META_CONTEXT twice, an unknown one,
    // EXTENDED_HEADERS, GO.
    let options = [6, 3, 5, 7, 8, 9, 11, 10, 0];
    let mut list = vec![ack, server("a"), ack];
    list.extend(all_infos);
    list.extend([context(0, "base:allocation"), ack, context(1, "base:allocation"), ack]);
    list.extend([context(1, "base:allocation"), context(2, "qemu:x"), ack]);
    list.extend([OptionReply::Unknown { reply: ReplyType(0x77), payload: b"what" }, ack, ack]);
    list.extend(all_infos);
    seeds.push(("interactive_all_options", script(INTERACTIVE, 0, &options, 0, &replies(&list), &[])));

    let list = [ack, no(ReplyType::ERR_SHUTDOWN)];
    seeds.push(("interactive_shutdown", script(INTERACTIVE, 0, &[6, 3, 0], 0, &replies(&list), &[])));
    seeds
}
