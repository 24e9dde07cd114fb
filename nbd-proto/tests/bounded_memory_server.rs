//! Whatever a client sends, the memory of the server's engine stays within a bound.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;
#[allow(dead_code, reason = "each binary uses its own part")]
#[path = "transmission_server/setup.rs"]
mod setup;

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Server, ServerEvent, ServerSettings};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ContextId, Cookie};
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

use setup::{BASE, STYLES, Setup};

const LIMIT: usize = 16;
/// What a request in flight may cost: its place, its answer, and room for twice of both because lists double.
const EACH: usize = 1024;

fn server(style: ReplyStyle) -> Server {
    Setup::new(style).with_settings(ServerSettings::default().with_max_in_flight(LIMIT)).server()
}

fn emit(style: ReplyStyle, command: CommandType, flags: CommandFlags, offset: u64, length: u32, out: &mut Vec<u8>) {
    let compact = CompactRequest { flags, command, cookie: Cookie(7), offset, length };
    match style {
        ReplyStyle::Extended => ExtendedRequest::from(compact).emit(out),
        _ => compact.emit(out),
    }
}

/// Hands in the same message many times, and gives how much memory that has left behind, and how often it was read
/// in full. Answers are sent if `reads` says that the client reads.
fn flood(server: &mut Server, message: &[u8], times: usize, reads: bool) -> (usize, usize) {
    let before = counting::bytes();
    let (mut at, mut whole) = (0, 0);
    for _ in 0..times * 4 {
        let advance = server.input(&message[at..]).unwrap();
        at += advance.consumed;
        if at == message.len() {
            (at, whole) = (0, whole + 1);
        }
        if let Some(ServerEvent::Request(request)) = advance.event {
            if request.command == CommandType::WRITE {
                server.receive(request.id).unwrap();
            }
        }
        if reads {
            server.sent(usize::MAX);
        }
    }
    (counting::bytes().saturating_sub(before), whole)
}

/// Messages that the engine answers by itself.
fn own(style: ReplyStyle) -> Vec<Vec<u8>> {
    let none = CommandFlags::empty();
    let mut messages = Vec::new();
    for (command, flags, offset, length) in [
        (CommandType(77), none, 0, 0),
        (CommandType::READ, none, 1 << 20, 1),
        (CommandType::READ, CommandFlags::FAST_ZERO, 0, 1),
        (CommandType::TRIM, none, 0, 0),
        (CommandType::BLOCK_STATUS, none, 0, 0),
    ] {
        let mut message = Vec::new();
        emit(style, command, flags, offset, length, &mut message);
        messages.push(message);
    }
    let mut write = Vec::new();
    emit(style, CommandType::WRITE, none, 1 << 20, 100, &mut write);
    write.resize(write.len() + 100, 0);
    messages.push(write);
    if style == ReplyStyle::Extended {
        let contexts = [BASE, BASE].map(ContextId).into_iter().collect();
        let filter = BlockStatusPayload { effect_length: 512, contexts };
        let mut message = Vec::new();
        emit(style, CommandType::BLOCK_STATUS, CommandFlags::PAYLOAD_LEN, 0, filter.length() as u32, &mut message);
        filter.emit(&mut message);
        messages.push(message);
    }
    messages
}

#[test]
fn bad_requests_whose_answers_nobody_reads_stop_at_the_limit() {
    for style in STYLES {
        for message in own(style) {
            let mut server = server(style);
            let (grown, whole) = flood(&mut server, &message, 10_000, false);
            assert!(grown <= LIMIT * EACH, "{grown} bytes with {style} replies: {message:x?}");
            assert_eq!((whole, server.in_flight(), server.wants_read()), (LIMIT, LIMIT, false));
            assert!(server.over().is_none() && server.wants_write());
        }
    }
}

#[test]
fn bad_requests_whose_answers_are_read_leave_nothing_behind() {
    for style in STYLES {
        for message in own(style) {
            let mut server = server(style);
            let (grown, whole) = flood(&mut server, &message, 10_000, true);
            assert!(grown <= LIMIT * EACH, "{grown} bytes with {style} replies: {message:x?}");
            assert!(whole >= 10_000, "{whole} requests were read");
        }
    }
}

#[test]
fn requests_that_nobody_answers_stop_at_the_limit() {
    for style in STYLES {
        for command in [CommandType::READ, CommandType::FLUSH] {
            let (mut server, mut message) = (server(style), Vec::new());
            emit(style, command, CommandFlags::empty(), 0, 512, &mut message);
            let (grown, whole) = flood(&mut server, &message, 10_000, true);
            assert!(grown <= LIMIT * EACH, "{grown} bytes with {style} replies");
            assert_eq!((whole, server.in_flight(), server.over()), (LIMIT, LIMIT, None));
        }
    }
}

#[test]
fn a_length_that_is_only_claimed_costs_nothing() {
    for style in STYLES {
        let (mut server, mut message) = (server(style), Vec::new());
        emit(style, CommandType::WRITE, CommandFlags::empty(), 1 << 20, 64 << 20, &mut message);
        let before = counting::bytes();
        let _ = server.input(&message).unwrap();
        let grown = counting::bytes().saturating_sub(before);
        assert!(grown <= EACH * 4, "{grown} bytes for a write that is skipped");
    }
}
