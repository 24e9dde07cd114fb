//! Once warm, requests cost a server no allocation.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;
#[allow(dead_code, reason = "each binary uses its own part")]
#[path = "transmission_server/setup.rs"]
mod setup;

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ReadPart, Request, Server, ServerEvent};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, Cookie, ErrorValue};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

use setup::{BASE, OTHER, STYLES, Setup};

/// What a client asks, and how it ends.
#[derive(Clone, Copy, Debug)]
struct Case {
    command: CommandType,
    flags: CommandFlags,
    offset: u64,
    length: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    /// The caller fails it: a write before its payload.
    Failure,
    /// The engine answers by itself.
    Own,
}

const fn case(command: CommandType, flags: CommandFlags, offset: u64, length: u64, end: End) -> Case {
    Case { command, flags, offset, length, end }
}

const NONE: CommandFlags = CommandFlags::empty();

const CASES: [Case; 17] = [
    case(CommandType::READ, NONE, 512, 1024, End::Success),
    case(CommandType::READ, CommandFlags::DF, 512, 1024, End::Success),
    case(CommandType::WRITE, NONE, 512, 1024, End::Success),
    case(CommandType::FLUSH, NONE, 0, 0, End::Success),
    case(CommandType::TRIM, CommandFlags::FUA, 0, 1024, End::Success),
    case(CommandType::CACHE, NONE, 0, 1024, End::Success),
    case(CommandType::WRITE_ZEROES, CommandFlags::NO_HOLE, 0, 1024, End::Success),
    case(CommandType::BLOCK_STATUS, NONE, 0, 8192, End::Success),
    case(CommandType::BLOCK_STATUS, CommandFlags::REQ_ONE, 0, 8192, End::Success),
    case(CommandType::BLOCK_STATUS, CommandFlags::PAYLOAD_LEN, 0, 8192, End::Success),
    case(CommandType::READ, NONE, 512, 1024, End::Failure),
    case(CommandType::WRITE, NONE, 512, 1024, End::Failure),
    case(CommandType::WRITE, NONE, 1 << 20, 1024, End::Own),
    case(CommandType::READ, NONE, 1 << 20, 1024, End::Own),
    case(CommandType::READ, NONE, 0, 0, End::Own),
    case(CommandType::BLOCK_STATUS, CommandFlags::PAYLOAD_LEN, 0, u64::MAX, End::Own),
    case(CommandType(77), NONE, 0, 0, End::Own),
];

impl Case {
    fn is_for(&self, style: ReplyStyle) -> bool {
        match self.flags {
            CommandFlags::PAYLOAD_LEN => style == ReplyStyle::Extended,
            CommandFlags::DF => style != ReplyStyle::Simple,
            _ => style != ReplyStyle::Simple || self.command != CommandType::BLOCK_STATUS,
        }
    }

    fn emit(&self, style: ReplyStyle, out: &mut Vec<u8>) {
        let Self { command, mut flags, offset, mut length, .. } = *self;
        let cookie = Cookie(7);
        let contexts = [ContextId(BASE), ContextId(OTHER)].into_iter().collect();
        let filter = BlockStatusPayload { effect_length: length, contexts };
        let has_filter = flags.contains(CommandFlags::PAYLOAD_LEN);
        if has_filter {
            length = filter.length() as u64;
        }
        if style == ReplyStyle::Extended {
            flags.set(CommandFlags::PAYLOAD_LEN, has_filter || command == CommandType::WRITE);
            ExtendedRequest { flags, command, cookie, offset, length }.emit(out);
        } else {
            CompactRequest { flags, command, cookie, offset, length: u32::try_from(length).unwrap() }.emit(out);
        }
        if has_filter {
            filter.emit(out);
        } else if command == CommandType::WRITE {
            out.resize(out.len() + length as usize, 7);
        }
    }
}

/// Answers a request that is there whole.
fn answer(server: &mut Server, request: &Request, end: End) {
    let Request { id, command, length, .. } = *request;
    if end == End::Failure {
        let failure = Failure { error: ErrorValue::EIO, message: "the disk is gone", offset: Some(512) };
        return server.fail(id, &failure).unwrap();
    }
    match command {
        CommandType::READ => {
            let parts = [ReadPart::Data(length - 20), ReadPart::Hole(10), ReadPart::Data(10)];
            server.finish_read(id, &parts).unwrap();
        }
        CommandType::BLOCK_STATUS => {
            let extents = [1, 2, 3].map(|flags| Descriptor { length: 512, flags });
            server.finish_status(id, &[(ContextId(BASE), &extents), (ContextId(OTHER), &extents)]).unwrap();
        }
        _ => server.finish(id).unwrap(),
    }
}

/// Requests come, whole and by landing, are answered, and sent by short writes.
fn round(server: &mut Server, end: End, stream: &[u8], buffer: &mut [u8], lands: bool) {
    let (mut at, mut request, mut ended, mut told) = (0, None, 0, 0);
    loop {
        let landing = if lands { server.landing() } else { None };
        if let Some(landing) = landing {
            let count = landing.range.len().min(100);
            buffer[landing.range.start..landing.range.start + count].copy_from_slice(&stream[at..at + count]);
            server.landed(count);
            at += count;
            continue;
        }
        let advance = server.input(&stream[at..]).unwrap();
        at += advance.consumed;
        match advance.event {
            Some(ServerEvent::Request(told_of)) => {
                told += 1;
                request = Some(told_of);
                match told_of.command {
                    CommandType::WRITE if end == End::Failure => {
                        let failure = Failure { error: ErrorValue::ENOSPC, message: "the disk is full", offset: None };
                        server.fail(told_of.id, &failure).unwrap();
                    }
                    CommandType::WRITE => server.receive(told_of.id).unwrap(),
                    _ => answer(server, &told_of, end),
                }
            }
            Some(ServerEvent::Received { .. }) => answer(server, request.as_ref().unwrap(), end),
            Some(ServerEvent::Data { range, bytes, .. }) => buffer[range].copy_from_slice(bytes),
            Some(ServerEvent::Done { sent: true, .. }) => ended += 1,
            Some(other) => panic!("{other:?}"),
            None if advance.consumed > 0 => {}
            None if server.wants_write() => server.sent(333),
            None => break,
        }
    }
    assert_eq!((at, ended, server.in_flight()), (stream.len(), told, 0));
    assert_eq!(told == 0, end == End::Own);
}

#[test]
fn a_warm_engine_allocates_nothing() {
    for style in STYLES {
        let mut buffer = vec![0; 1024];
        for case in CASES.iter().filter(|case| case.is_for(style)) {
            let mut server = Setup::new(style).server();
            let mut stream = Vec::new();
            for _ in 0..10 {
                case.emit(style, &mut stream);
            }
            let mut rounds = |count| {
                for turn in 0..count {
                    round(&mut server, case.end, &stream, &mut buffer, turn % 2 == 0);
                }
            };
            rounds(8);
            let before = counting::allocations();
            rounds(50);
            let after = counting::allocations();
            assert_eq!(after - before, 0, "with {style} replies: {case:?}");
        }
    }
}
