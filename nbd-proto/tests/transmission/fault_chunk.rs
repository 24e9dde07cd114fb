//! Chunks that the command cannot bring, and misuse of `NONE` and `DONE`.

use nbd_proto::error::{Error, Expected, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::{Chunk, Width};
use nbd_proto::wire::number::{ChunkType, CommandType};

use crate::harness::{BASE, CHUNKED, Seen, Setup, fault, link};
use crate::server::{LAST, MORE, data, hole, status_payload};

const COMMANDS: [Command; 7] = [
    Command::read(0, 64),
    Command::write(0, 64),
    Command::flush(),
    Command::trim(0, 64),
    Command::cache(0, 64),
    Command::write_zeroes(0, 64),
    Command::block_status(0, 64),
];

fn payload(chunk: ChunkType) -> Vec<u8> {
    let mut out = Vec::new();
    match chunk {
        ChunkType::OFFSET_DATA => data(0, &[1; 64]).emit(&mut out),
        ChunkType::OFFSET_HOLE => hole(0, 64).emit(&mut out),
        ChunkType::BLOCK_STATUS => out = status_payload(Width::Bits32, BASE, &[(64, 0)]),
        ChunkType::BLOCK_STATUS_EXT => out = status_payload(Width::Bits64, BASE, &[(64, 0)]),
        _ => {}
    }
    out
}

/// The only chunks, beside `NONE` and errors, that a command may bring.
fn fits(style: ReplyStyle, command: CommandType, chunk: ChunkType) -> bool {
    match chunk {
        ChunkType::OFFSET_DATA | ChunkType::OFFSET_HOLE => command == CommandType::READ,
        ChunkType::BLOCK_STATUS => command == CommandType::BLOCK_STATUS && style == ReplyStyle::Structured,
        ChunkType::BLOCK_STATUS_EXT => command == CommandType::BLOCK_STATUS && style == ReplyStyle::Extended,
        _ => false,
    }
}

#[test]
fn each_chunk_that_does_not_fit_its_command_is_fatal() {
    let chunks = [ChunkType::OFFSET_DATA, ChunkType::OFFSET_HOLE, ChunkType::BLOCK_STATUS, ChunkType::BLOCK_STATUS_EXT];
    let mut refused = 0;
    for style in CHUNKED {
        for sent in COMMANDS {
            for chunk in chunks {
                if fits(style, sent.command, chunk) {
                    let mut link = link(style);
                    let cookie = link.submit(sent);
                    link.feed(&link.raw(cookie, MORE, chunk, &payload(chunk)));
                    assert_eq!((link.error, link.events.len()), (None, 1));
                    continue;
                }
                let error = fault(&Setup::new(style), &[sent], |link, cookies| {
                    link.raw(cookies[0], LAST, chunk, &payload(chunk))
                });
                assert_eq!(error, PeerMisbehaved::WrongChunk { command: sent.command, chunk }.into());
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2 * (7 * 4 - 3));
}

#[test]
fn a_chunk_that_does_not_fit_is_told_by_its_header_alone() {
    for style in CHUNKED {
        let error = fault(&Setup::new(style), &[Command::flush()], |link, cookies| {
            link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, 100)
        });
        let chunk = ChunkType::OFFSET_DATA;
        assert_eq!(error, PeerMisbehaved::WrongChunk { command: CommandType::FLUSH, chunk }.into());
    }
}

#[test]
fn a_chunk_of_unknown_type_is_fatal_unless_it_is_an_error() {
    for style in CHUNKED {
        for sent in COMMANDS {
            for number in [3, 4, 7, 0x7fff] {
                let chunk = ChunkType(number);
                let error =
                    fault(&Setup::new(style), &[sent], |link, cookies| link.raw(cookies[0], LAST, chunk, b"new"));
                assert_eq!(error, PeerMisbehaved::UnknownChunk { chunk }.into());
            }
        }
    }
}

#[test]
fn none_has_to_be_the_last_chunk() {
    for style in CHUNKED {
        for sent in COMMANDS {
            let error = fault(&Setup::new(style), &[sent], |link, cookies| link.chunk(cookies[0], MORE, &Chunk::None));
            assert_eq!(error, PeerMisbehaved::NoneNotDone.into());
        }
    }
}

#[test]
fn none_has_no_payload() {
    for style in CHUNKED {
        for got in [1, 8, u64::from(u32::MAX)] {
            let error = fault(&Setup::new(style), &[Command::flush()], |link, cookies| {
                link.header(cookies[0], LAST, ChunkType::NONE, got)
            });
            let expected = Expected::Exactly(0);
            assert_eq!(error, InvalidMessage::Length { message: Message::NoneChunk, expected, got }.into());
        }
    }
}

#[test]
fn nothing_may_follow_the_last_chunk() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::read(0, 64));
        let first = link.chunk(cookie, LAST, &data(0, &[1; 64]));
        let second = link.chunk(cookie, LAST, &Chunk::None);
        link.feed(&[first, second].concat());
        assert_eq!(link.assert_over(), Error::from(PeerMisbehaved::UnknownCookie { cookie }));
        assert_eq!(link.seen(), [Seen::Data(cookie, 0..64), Seen::Done(cookie, Ok(()))]);
    }
}

#[test]
fn flags_of_a_chunk_that_nobody_knows_are_ignored() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::read(0, 64));
        let unknown = nbd_proto::wire::flags::ReplyFlags::from_bits_retain(0xfffe);
        let first = link.chunk(cookie, unknown, &data(0, &[1; 64]));
        let second = link.chunk(cookie, unknown | LAST, &Chunk::None);
        link.feed(&[first, second].concat());
        assert_eq!(link.error, None);
        assert_eq!(link.seen(), [Seen::Data(cookie, 0..64), Seen::Done(cookie, Ok(()))]);
    }
}
