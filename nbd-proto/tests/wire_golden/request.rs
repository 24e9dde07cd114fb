//! Requests of the transmission phase: compact and extended ones of every command, and the payload form of
//! `BLOCK_STATUS`.

use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, Cookie};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

use crate::octets::octets;
use crate::{emitted, payload, streamed};

#[track_caller]
fn compact(golden: &str, command: CommandType, flags: CommandFlags, offset: u64, length: u32) {
    let request = CompactRequest { flags, command, cookie: Cookie(0x0102_0304_0506_0708), offset, length };
    let golden = octets(golden);
    assert_eq!(golden.len(), 28);
    streamed(&golden, &request, CompactRequest::parse, CompactRequest::emit);
}

#[track_caller]
fn extended(golden: &str, command: CommandType, flags: CommandFlags, offset: u64, length: u64) {
    let request = ExtendedRequest { flags, command, cookie: Cookie(0x0102_0304_0506_0708), offset, length };
    let golden = octets(golden);
    assert_eq!(golden.len(), 32);
    streamed(&golden, &request, ExtendedRequest::parse, ExtendedRequest::emit);
}

const NO_FLAGS: CommandFlags = CommandFlags::empty();

// T1
#[test]
fn compact_requests_of_every_command() {
    use CommandType as Type;
    compact("25609513 0004 0000 0102030405060708 0000000000001000 00000200", Type::READ, CommandFlags::DF, 4096, 512);
    compact(
        "25609513 0001 0001 0102030405060708 0000000000002000 00000400",
        Type::WRITE,
        CommandFlags::FUA,
        8192,
        1024,
    );
    compact("25609513 0000 0002 0102030405060708 0000000000000000 00000000", Type::DISC, NO_FLAGS, 0, 0);
    compact("25609513 0000 0003 0102030405060708 0000000000000000 00000000", Type::FLUSH, NO_FLAGS, 0, 0);
    compact(
        "25609513 0001 0004 0102030405060708 8000000000000000 ffffffff",
        Type::TRIM,
        CommandFlags::FUA,
        1 << 63,
        u32::MAX,
    );
    compact("25609513 0000 0005 0102030405060708 0000000000001000 00000200", Type::CACHE, NO_FLAGS, 4096, 512);
    let flags = CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO;
    compact("25609513 0012 0006 0102030405060708 0000000000001000 00000200", Type::WRITE_ZEROES, flags, 4096, 512);
    let flags = CommandFlags::REQ_ONE;
    compact("25609513 0008 0007 0102030405060708 0000000000001000 00000200", Type::BLOCK_STATUS, flags, 4096, 512);
    compact("25609513 0000 0008 0102030405060708 0000000000001000 00000000", Type::RESIZE, NO_FLAGS, 4096, 0);
}

// T1
#[test]
fn compact_requests_keep_unknown_commands_and_flags() {
    let flags = CommandFlags::from_bits_retain(0x8040);
    compact("25609513 8040 beef 0102030405060708 0000000000001000 00000200", CommandType(0xbeef), flags, 4096, 512);
}

#[test]
fn extended_requests_of_every_command() {
    use CommandType as Type;
    let flags = CommandFlags::DF;
    extended("21e41c71 0004 0000 0102030405060708 0000000000001000 0000000000000200", Type::READ, flags, 4096, 512);
    let flags = CommandFlags::FUA | CommandFlags::PAYLOAD_LEN;
    extended("21e41c71 0021 0001 0102030405060708 0000000000002000 0000000000000400", Type::WRITE, flags, 8192, 1024);
    extended("21e41c71 0000 0002 0102030405060708 0000000000000000 0000000000000000", Type::DISC, NO_FLAGS, 0, 0);
    extended("21e41c71 0000 0003 0102030405060708 0000000000000000 0000000000000000", Type::FLUSH, NO_FLAGS, 0, 0);
    extended(
        "21e41c71 0000 0004 0102030405060708 0000000000000000 ffffffffffffffff",
        Type::TRIM,
        NO_FLAGS,
        0,
        u64::MAX,
    );
    extended(
        "21e41c71 0000 0005 0102030405060708 0000000000001000 0000000100000000",
        Type::CACHE,
        NO_FLAGS,
        4096,
        1 << 32,
    );
    let flags = CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO;
    extended(
        "21e41c71 0012 0006 0102030405060708 0000000000000000 0000000200000000",
        Type::WRITE_ZEROES,
        flags,
        0,
        1 << 33,
    );
    let flags = CommandFlags::REQ_ONE | CommandFlags::PAYLOAD_LEN;
    extended(
        "21e41c71 0028 0007 0102030405060708 0000000000001000 0000000000000010",
        Type::BLOCK_STATUS,
        flags,
        4096,
        16,
    );
    extended("21e41c71 0000 0008 0102030405060708 0000000000001000 0000000000000000", Type::RESIZE, NO_FLAGS, 4096, 0);
}

#[test]
fn extended_requests_keep_unknown_commands_and_flags() {
    let flags = CommandFlags::from_bits_retain(0x8040);
    extended(
        "21e41c71 8040 beef 0102030405060708 0000000000001000 0000000000000200",
        CommandType(0xbeef),
        flags,
        4096,
        512,
    );
}

/// `cuts`: the lengths at which a prefix of the payload is a sound payload too.
#[track_caller]
fn block_status(golden: &str, effect_length: u64, contexts: &[u32], cuts: impl IntoIterator<Item = usize>) {
    let golden = octets(golden);
    let contexts = contexts.iter().copied().map(ContextId).collect();
    let value = BlockStatusPayload { effect_length, contexts };
    payload(&golden, &value, cuts, BlockStatusPayload::parse);
    assert_eq!(value.length(), golden.len());
    emitted(&golden, |out| value.emit(out));
}

#[test]
fn block_status_payload() {
    block_status("0000000000100000 00000001 fffffffe", 1 << 20, &[1, 0xffff_fffe], [8, 12]);
    block_status("0000000100000000", 1 << 32, &[], []);
}
