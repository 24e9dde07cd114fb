//! Replies that may not stand where they stand: magic, cookie, style, echoed offset.

use nbd_proto::error::{CommandError, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::number::{ChunkType, CommandType, Cookie, ErrorValue};
use nbd_proto::wire::reply::{ExtendedReply, StructuredReply};

use crate::harness::{CHUNKED, STYLES, Seen, Setup, fault, link};
use crate::server::{LAST, MORE, OK, data, failed, simple};

const READ: Command = Command::read(64, 16);

fn structured(cookie: Cookie, chunk: ChunkType) -> Vec<u8> {
    let mut out = Vec::new();
    StructuredReply { flags: LAST, chunk, cookie, length: 0 }.emit(&mut out);
    out
}

fn extended(cookie: Cookie, offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ExtendedReply { flags: LAST, chunk: ChunkType::NONE, cookie, offset, length: 0 }.emit(&mut out);
    out
}

// T2
#[test]
fn an_unknown_magic_is_shown() {
    for style in STYLES {
        for got in [0u32, 0x6744_6699, 0x668e_33ee, 0x2560_9513, u32::MAX] {
            let error = fault(&Setup::new(style), &[READ], |_, _| got.to_be_bytes().to_vec());
            assert_eq!(error, InvalidMessage::Magic { message: Message::Reply, got: got.into() }.into());
            assert!(error.to_string().contains(&format!("{got:08x}")), "{error}");
        }
    }
}

// T2
#[test]
fn an_unknown_magic_counts_with_nothing_in_flight_too() {
    let error = fault(&Setup::new(ReplyStyle::Simple), &[], |_, _| b"HTTP".to_vec());
    assert_eq!(error, InvalidMessage::Magic { message: Message::Reply, got: 0x4854_5450 }.into());
}

fn none(style: ReplyStyle, cookie: Cookie) -> Vec<u8> {
    match style {
        ReplyStyle::Simple => simple(cookie, OK),
        ReplyStyle::Structured => structured(cookie, ChunkType::NONE),
        ReplyStyle::Extended => extended(cookie, 0),
    }
}

#[test]
fn a_cookie_that_was_never_used_is_fatal() {
    for style in STYLES {
        for flip in [1, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
            let real = link(style).submit(Command::flush());
            let cookie = Cookie(real.0 ^ flip);
            let error = fault(&Setup::new(style), &[Command::flush()], |_, cookies| {
                assert_eq!(cookies, [real]);
                none(style, cookie)
            });
            assert_eq!(error, PeerMisbehaved::UnknownCookie { cookie }.into());
        }
        for cookie in [Cookie(0), Cookie(u64::MAX), Cookie(1)] {
            let error = fault(&Setup::new(style), &[], |_, _| none(style, cookie));
            assert_eq!(error, PeerMisbehaved::UnknownCookie { cookie }.into());
        }
    }
}

#[test]
fn a_cookie_whose_last_reply_came_is_used_up() {
    for style in STYLES {
        let mut used = Cookie(0);
        let mut link = link(style);
        for _ in 0..3 {
            used = link.submit(Command::flush());
            link.feed(&none(style, used));
        }
        link.feed(&none(style, used));
        assert_eq!(link.assert_over(), PeerMisbehaved::UnknownCookie { cookie: used }.into());
        assert!(link.seen().iter().all(|event| matches!(event, Seen::Done(_, Ok(())))));
    }
}

#[test]
fn a_cookie_is_used_up_before_its_done_was_fetched() {
    // The second reply comes while the first waits for the request's last byte to be sent.
    for style in STYLES {
        let mut link = link(style);
        let cookie = link.queue(Command::flush());
        link.feed(&none(style, cookie));
        assert_eq!(link.seen(), []);
        link.feed(&none(style, cookie));
        assert_eq!(link.assert_over(), PeerMisbehaved::UnknownCookie { cookie }.into());
    }
}

#[test]
fn a_stale_generation_does_not_reach_the_command_that_has_the_slot_now() {
    for style in STYLES {
        let mut link = link(style);
        let stale = link.submit(Command::flush());
        link.feed(&none(style, stale));
        let fresh = link.submit(Command::flush());
        assert_eq!(stale.0 as u32, fresh.0 as u32, "the slot is used again");
        link.seen();
        link.feed(&none(style, stale));
        let error = link.assert_over();
        assert_eq!(error, PeerMisbehaved::UnknownCookie { cookie: stale }.into());
        let failure = CommandError::Connection(error);
        assert_eq!(link.seen(), [Seen::Done(fresh, Err(failure))]);
    }
}

#[test]
fn a_style_that_was_not_agreed_is_fatal() {
    for agreed in STYLES {
        for got in STYLES {
            // Simple replies may come where structured ones were agreed.
            if agreed == got || (agreed, got) == (ReplyStyle::Structured, ReplyStyle::Simple) {
                continue;
            }
            let error = fault(&Setup::new(agreed), &[Command::flush()], |_, cookies| none(got, cookies[0]));
            assert_eq!(error, PeerMisbehaved::ReplyStyle { agreed, got }.into());
        }
    }
}

#[test]
fn a_simple_reply_to_a_read_is_fatal_with_structured_replies() {
    for error in [OK, ErrorValue::EINVAL] {
        let error = fault(&Setup::new(ReplyStyle::Structured), &[READ], |_, cookies| simple(cookies[0], error));
        assert_eq!(error, PeerMisbehaved::SimpleReply { command: CommandType::READ }.into());
    }
}

#[test]
fn a_simple_reply_to_a_successful_block_status_is_fatal() {
    let status = Command::block_status(0, 512);
    let error = fault(&Setup::new(ReplyStyle::Structured), &[status], |_, cookies| simple(cookies[0], OK));
    assert_eq!(error, PeerMisbehaved::SimpleReply { command: CommandType::BLOCK_STATUS }.into());
}

#[test]
fn a_simple_reply_behind_a_chunk_is_fatal() {
    for value in [OK, ErrorValue::EIO] {
        let error = fault(&Setup::new(ReplyStyle::Structured), &[Command::flush()], |link, cookies| {
            let chunk = link.chunk(cookies[0], MORE, &failed(ErrorValue::EIO, b""));
            [chunk, simple(cookies[0], value)].concat()
        });
        assert_eq!(error, PeerMisbehaved::SimpleReply { command: CommandType::FLUSH }.into());
    }
}

#[test]
fn an_extended_reply_has_to_echo_the_offset() {
    let setup = Setup::new(ReplyStyle::Extended);
    for (command, wrong) in [(READ, 0), (READ, 65), (READ, 64 << 32), (Command::flush(), 1)] {
        let error = fault(&setup, &[command], |_, cookies| extended(cookies[0], wrong));
        assert_eq!(error, PeerMisbehaved::OffsetEcho { asked: command.offset, got: wrong }.into());
    }
}

#[test]
fn the_offset_echoed_is_the_requests_not_the_chunks() {
    let error = fault(&Setup::new(ReplyStyle::Extended), &[READ], |link, cookies| {
        let mut chunk = link.chunk(cookies[0], LAST, &data(72, &[1; 8]));
        chunk[16..24].copy_from_slice(&72u64.to_be_bytes());
        chunk
    });
    assert_eq!(error, PeerMisbehaved::OffsetEcho { asked: 64, got: 72 }.into());
}

#[test]
fn a_fault_in_one_command_ends_them_all() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookies = [READ, Command::flush(), Command::write(0, 512), READ].map(|command| link.submit(command));
        let unsent = link.queue(Command::write(1024, 512));
        // One has failed by its server's word, one has been answered.
        link.feed(&link.chunk(cookies[3], LAST, &failed(ErrorValue::ENOMEM, b"tired")));
        link.feed(&link.chunk(cookies[1], LAST, &Chunk::None));
        assert_eq!(link.seen().len(), 3);
        link.feed(&link.raw(cookies[0], LAST, ChunkType(9), &[]));
        let error = link.assert_over();
        assert_eq!(error, PeerMisbehaved::UnknownChunk { chunk: ChunkType(9) }.into());
        let mut ended: Vec<_> = link.seen();
        ended.sort_by_key(|event| match event {
            Seen::Done(cookie, _) => *cookie,
            other => panic!("{other:?}"),
        });
        let failure = || Err(CommandError::Connection(error.clone()));
        let mut expected = vec![Seen::Done(cookies[0], failure()), Seen::Done(cookies[2], failure())];
        expected.push(Seen::Done(unsent, failure()));
        assert_eq!(ended, expected);
    }
}
