//! Replies in answer to requests in flight.

use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::ReplyFlags;
use nbd_proto::wire::number::{ChunkType, ContextId, Cookie, ErrorValue};
use nbd_proto::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

use crate::Seeds;

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

pub fn seeds() -> Seeds {
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
