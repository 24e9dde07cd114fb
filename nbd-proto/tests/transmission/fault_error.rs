//! Error chunks that are themselves in error.

use nbd_proto::error::{Error, Expected, Field, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::limits::{MAX_ERROR_CHUNKS, MAX_STRING};
use nbd_proto::transmission::Command;
use nbd_proto::wire::number::{ChunkType, ErrorValue};

use crate::harness::{CHUNKED, Setup, fault, link};
use crate::server::{LAST, MORE, failed, failed_at};

const UNKNOWN: ChunkType = ChunkType(0x8abc);
const KINDS: [ChunkType; 3] = [ChunkType::ERROR, ChunkType::ERROR_OFFSET, UNKNOWN];
const COMMAND: Command = Command::trim(4096, 512);

/// An error chunk that claims `message_length` bytes of message, and has `rest` behind that claim.
fn payload(error: u32, message_length: usize, rest: &[u8]) -> Vec<u8> {
    [&error.to_be_bytes()[..], &(message_length as u16).to_be_bytes(), rest].concat()
}

fn refused(chunk: ChunkType, payload: &[u8]) -> [Error; 2] {
    CHUNKED
        .map(|style| fault(&Setup::new(style), &[COMMAND], |link, cookies| link.raw(cookies[0], LAST, chunk, payload)))
}

#[track_caller]
fn assert_refused(chunk: ChunkType, payload: &[u8], expected: InvalidMessage) {
    let expected = Error::from(expected);
    assert_eq!(refused(chunk, payload), [expected.clone(), expected]);
}

#[test]
fn an_error_chunk_with_error_number_0_is_fatal() {
    for chunk in KINDS {
        let rest = if chunk == ChunkType::ERROR_OFFSET { &4096u64.to_be_bytes()[..] } else { b"" };
        assert_refused(chunk, &payload(0, 0, rest), InvalidMessage::ErrorChunkWithoutError { chunk });
    }
}

#[test]
fn a_message_longer_than_its_chunk_is_fatal() {
    for (length, rest, room) in [(1, &b""[..], 0), (4, b"abc", 3), (0xffff, b"abc", 3)] {
        for chunk in [ChunkType::ERROR, UNKNOWN] {
            let expected = InvalidMessage::InnerLength { field: Field::ErrorMessage, length, room };
            assert_refused(chunk, &payload(5, length as usize, rest), expected);
        }
    }
}

#[test]
fn a_message_may_not_reach_into_the_offset() {
    let rest = [&b"abc"[..], &4096u64.to_be_bytes()].concat();
    for length in [4, 11, 12] {
        let expected = InvalidMessage::InnerLength { field: Field::ErrorMessage, length, room: 3 };
        assert_refused(ChunkType::ERROR_OFFSET, &payload(5, length as usize, &rest), expected);
    }
}

#[test]
fn an_overlong_message_is_fatal() {
    let text = vec![b'x'; MAX_STRING + 1];
    let got = 6 + text.len() as u64;
    let expected = Expected::Between(6, 6 + MAX_STRING as u64);
    let wrong = InvalidMessage::Length { message: Message::ErrorChunk, expected, got };
    assert_refused(ChunkType::ERROR, &payload(5, text.len(), &text), wrong);

    let rest = [&text[..], &4096u64.to_be_bytes()].concat();
    let expected = Expected::Between(14, 14 + MAX_STRING as u64);
    let wrong = InvalidMessage::Length { message: Message::ErrorChunk, expected, got: got + 8 };
    assert_refused(ChunkType::ERROR_OFFSET, &payload(5, text.len(), &rest), wrong);

    let wrong = InvalidMessage::StringTooLong { field: Field::ErrorMessage, length: text.len() as u64 };
    assert_refused(UNKNOWN, &payload(5, text.len(), &text), wrong);
}

#[test]
fn an_error_chunk_too_short_or_too_long_is_told_by_its_header_alone() {
    let string = MAX_STRING as u64;
    for (chunk, least, most) in
        [(ChunkType::ERROR, 6, 6 + string), (ChunkType::ERROR_OFFSET, 14, 14 + string), (UNKNOWN, 6, 6 + 2 * string)]
    {
        for got in [0, least - 1, most + 1, u64::from(u32::MAX)] {
            for style in CHUNKED {
                let error =
                    fault(&Setup::new(style), &[COMMAND], |link, cookies| link.header(cookies[0], LAST, chunk, got));
                let expected = Expected::Between(least, most);
                assert_eq!(error, InvalidMessage::Length { message: Message::ErrorChunk, expected, got }.into());
            }
        }
    }
}

#[test]
fn a_known_error_chunk_ends_with_its_last_field() {
    let extra = InvalidMessage::TrailingBytes { message: Message::ErrorChunk, extra: 2 };
    assert_refused(ChunkType::ERROR, &payload(5, 1, b"abc"), extra.clone());
    let rest = [&b"a"[..], &4096u64.to_be_bytes(), b"bc"].concat();
    assert_refused(ChunkType::ERROR_OFFSET, &payload(5, 1, &rest), extra);
}

#[test]
fn an_error_offset_has_to_lie_in_the_request() {
    let commands = [
        Command::read(4096, 512),
        Command::write(4096, 512),
        Command::trim(4096, 512),
        Command::cache(4096, 512),
        Command::write_zeroes(4096, 512),
        Command::block_status(4096, 512),
    ];
    for style in CHUNKED {
        for command in commands {
            for offset in [0, 4095, 4096 + 512, u64::MAX] {
                let error = fault(&Setup::new(style), &[command], |link, cookies| {
                    link.chunk(cookies[0], LAST, &failed_at(ErrorValue::EIO, offset))
                });
                let outside = PeerMisbehaved::ErrorOffsetOutOfBounds { offset, asked_offset: 4096, asked_length: 512 };
                assert_eq!(error, outside.into());
            }
        }
    }
}

#[test]
fn error_chunks_without_end_have_an_end() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(COMMAND);
        let errors: Vec<u8> =
            (0..MAX_ERROR_CHUNKS).flat_map(|_| link.chunk(cookie, MORE, &failed(ErrorValue::EIO, b""))).collect();
        link.feed(&errors);
        assert_eq!(link.error, None, "as many as there may be");
        let last = link.chunk(cookie, LAST, &failed(ErrorValue::EIO, b""));
        link.feed(&last);
        let error = link.assert_over();
        assert_eq!(error, PeerMisbehaved::TooManyErrors.into());
        assert!(error.to_string().contains("more than 65536 error chunks"), "{error}");
    }
}

#[test]
fn each_command_may_bring_as_many_errors_as_it_likes_up_to_the_bound() {
    for style in CHUNKED {
        let mut link = link(style);
        for _ in 0..3 {
            let cookie = link.submit(COMMAND);
            let mut errors: Vec<u8> =
                (1..MAX_ERROR_CHUNKS).flat_map(|_| link.chunk(cookie, MORE, &failed(ErrorValue::EIO, b""))).collect();
            errors.extend(link.chunk(cookie, LAST, &failed(ErrorValue::EIO, b"")));
            link.feed(&errors);
            assert_eq!(link.error, None);
        }
    }
}
