//! What a server does wrong in its replies, and a client in its requests.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::limits::{MAX_ERROR_CHUNKS, MAX_FRAGMENTS};
use nbd_proto::transmission::{Command, ServerSettings};
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue};
use nbd_proto::wire::reply::ExtendedReply;
use nbd_proto::wire::request::CompactRequest;

use crate::handshake_client::misbehaved;
use crate::harness::{BASE, Link, Setup, fault};
use crate::server::{LAST, MORE, OK, data, failed, failed_at, hole, simple};
use crate::{Provoked, row, setup};

const READ: Command = Command::read(4096, 512);
const STATUS: Command = Command::block_status(4096, 512);

/// One command, and an answer that ends the connection.
fn answered(style: ReplyStyle, command: Command, answer: impl Fn(&Link, Cookie) -> Vec<u8>) -> PeerMisbehaved {
    misbehaved(fault(&Setup::new(style), &[command], |link, cookies| answer(link, cookies[0])))
}

fn structured(command: Command, answer: impl Fn(&Link, Cookie) -> Vec<u8>) -> PeerMisbehaved {
    answered(ReplyStyle::Structured, command, answer)
}

/// One command, and chunks.
fn chunks(command: Command, chunks: &[Chunk<'_>]) -> PeerMisbehaved {
    structured(command, |link, cookie| chunks.iter().flat_map(|chunk| link.chunk(cookie, MORE, chunk)).collect())
}

fn statuses(flags: CommandFlags, extents: &[&[(u64, u64)]]) -> PeerMisbehaved {
    structured(STATUS.with_flags(flags), |link, cookie| {
        extents.iter().flat_map(|extents| link.status(cookie, MORE, BASE, extents)).collect()
    })
}

/// More disjoint holes than are kept track of.
fn fragments() -> PeerMisbehaved {
    let holes: Vec<_> = (0..=MAX_FRAGMENTS as u64).map(|at| hole(2 * at, 1)).collect();
    chunks(Command::read(0, 1 << 20), &holes)
}

fn errors() -> PeerMisbehaved {
    let errors: Vec<_> = (0..=MAX_ERROR_CHUNKS).map(|_| failed(ErrorValue::EIO, b"")).collect();
    chunks(READ, &errors)
}

/// A reply that echoes another offset than that of the request.
fn other_offset() -> PeerMisbehaved {
    answered(ReplyStyle::Extended, READ, |_, cookie| {
        let mut reply = Vec::new();
        ExtendedReply { flags: LAST, chunk: ChunkType::NONE, cookie, offset: 1, length: 0 }.emit(&mut reply);
        reply
    })
}

/// A write to a server that skips little, and behind the end of the export.
fn endless_write() -> PeerMisbehaved {
    let settings = ServerSettings::default().with_max_skipped(100);
    let mut server = setup::Setup::new(ReplyStyle::Simple).with_settings(settings).server();
    let (flags, command) = (CommandFlags::empty(), CommandType::WRITE);
    let mut bytes = Vec::new();
    CompactRequest { flags, command, cookie: Cookie(1), offset: 1 << 40, length: 101 }.emit(&mut bytes);
    misbehaved(server.input(&bytes).unwrap_err())
}

pub(crate) fn table() -> Vec<Provoked> {
    let plain = CommandFlags::empty();
    let none = |cookie| simple(cookie, OK);
    let unknown = ChunkType(0x77);
    let wide =
        answered(ReplyStyle::Extended, STATUS, |link, cookie| link.status(cookie, MORE, BASE, &[(512, 1 << 32)]));
    let stranger = structured(STATUS, |link, cookie| link.status(cookie, MORE, ContextId(99), &[(512, 0)]));
    vec![
        row(
            "UnknownCookie",
            &structured(READ, |_, _| none(Cookie(0x1234))),
            "a reply names the cookie 0x1234, which no request in flight has",
        ),
        row(
            "ReplyStyle",
            &answered(ReplyStyle::Extended, READ, |_, cookie| none(cookie)),
            "a reply in simple style came, but extended replies were agreed",
        ),
        row(
            "SimpleReply",
            &structured(READ, |_, cookie| none(cookie)),
            "NBD_CMD_READ was answered with a simple reply, which structured replies rule out",
        ),
        row(
            "WrongChunk",
            &chunks(Command::flush(), &[hole(0, 512)]),
            "NBD_REPLY_TYPE_OFFSET_HOLE came in answer to NBD_CMD_FLUSH, which does not bring it",
        ),
        row(
            "UnknownChunk",
            &structured(READ, |link, cookie| link.raw(cookie, LAST, unknown, b"")),
            "chunk type 0x77 came, which this client does not know",
        ),
        row("NoneNotDone", &chunks(READ, &[Chunk::None]), "NBD_REPLY_TYPE_NONE came without NBD_REPLY_FLAG_DONE"),
        row(
            "OutOfBounds",
            &chunks(READ, &[hole(4000, 512)]),
            "512 bytes at 4000 came in answer to a read of 512 bytes at 4096",
        ),
        row(
            "Overlap",
            &chunks(READ, &[hole(4096, 512), data(4100, b"again")]),
            "5 bytes at 4100 overlap with what this read has had already",
        ),
        row("TooManyFragments", &fragments(), "a read is answered in more than 16384 disjoint pieces"),
        row("TooManyErrors", &errors(), "the reply to one command has more than 65536 error chunks"),
        row(
            "Fragmented",
            &chunks(READ.with_flags(CommandFlags::DF), &[hole(4096, 256), hole(4352, 256)]),
            "a read with NBD_CMD_FLAG_DF was answered in more than one content chunk",
        ),
        row(
            "ErrorOffsetOutOfBounds",
            &chunks(READ, &[failed_at(ErrorValue::EIO, 1)]),
            "an error at offset 1 came for a request of 512 bytes at 4096",
        ),
        row("ContextNotAsked", &stranger, "a block status came for metadata context 0x63, which was not asked for"),
        row(
            "ContextTwice",
            &statuses(plain, &[&[(512, 0)], &[(512, 0)]]),
            "two block status chunks for metadata context 0x7 came in one reply",
        ),
        row(
            "MoreThanOneExtent",
            &statuses(CommandFlags::REQ_ONE, &[&[(256, 0), (256, 1)]]),
            "a block status request with NBD_CMD_FLAG_REQ_ONE brought more than one extent, or too long a one",
        ),
        row(
            "ExtentBehindRequest",
            &statuses(plain, &[&[(512, 0), (512, 1)]]),
            "a block status went on behind the 512 bytes that were asked for",
        ),
        row("OffsetEcho", &other_offset(), "an extended reply echoes offset 1, the request had 4096"),
        row("WideFlags", &wide, "metadata context 0x7 has 32-bit flags, and 0x100000000 came"),
        row(
            "PayloadTooLong",
            &endless_write(),
            "NBD_CMD_WRITE has a payload of 101 bytes; more than 100 are not skipped",
        ),
    ]
}
