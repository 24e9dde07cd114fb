//! Content that may not answer a read.

use nbd_proto::error::{Expected, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::limits::MAX_FRAGMENTS;
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{ChunkType, ErrorValue};

use crate::harness::{CHUNKED, Setup, fault};
use crate::server::{LAST, MORE, data, failed_at, hole};

const OFFSET: u64 = 4096;
const LENGTH: u64 = 1024;
const READ: Command = Command::read(OFFSET, LENGTH);

fn out_of_bounds(offset: u64, length: u64) -> nbd_proto::error::Error {
    PeerMisbehaved::OutOfBounds { offset, length, asked_offset: OFFSET, asked_length: LENGTH }.into()
}

/// Places that lie before, behind, across an edge of the read, or wrap around.
const OUTSIDE: [(u64, u32); 9] = [
    (OFFSET - 1, 1),
    (OFFSET - 1, 2),
    (0, 16),
    (OFFSET + LENGTH - 1, 2),
    (OFFSET + LENGTH, 1),
    (OFFSET, LENGTH as u32 + 1),
    (u64::MAX, 1),
    (u64::MAX - 7, 16),
    (u64::MAX, u32::MAX),
];

#[test]
fn a_hole_out_of_bounds_is_fatal() {
    for style in CHUNKED {
        for (offset, length) in OUTSIDE {
            let error =
                fault(&Setup::new(style), &[READ], |link, cookies| link.chunk(cookies[0], LAST, &hole(offset, length)));
            assert_eq!(error, out_of_bounds(offset, length.into()));
        }
    }
}

#[test]
fn data_out_of_bounds_is_fatal_before_a_byte_of_it_is_taken() {
    for style in CHUNKED {
        for (offset, length) in OUTSIDE {
            let length = u64::from(length).min(u64::from(u32::MAX) - 8);
            let error = fault(&Setup::new(style), &[READ], |link, cookies| {
                let header = link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, length + 8);
                [&header[..], &offset.to_be_bytes()].concat()
            });
            assert_eq!(error, out_of_bounds(offset, length));
        }
    }
}

#[test]
fn an_extended_chunk_of_nearly_endless_length_is_out_of_bounds() {
    let setup = Setup::new(nbd_proto::handshake::ReplyStyle::Extended);
    for length in [1 << 32, u64::MAX] {
        let error = fault(&setup, &[READ], |link, cookies| {
            let header = link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, length);
            [&header[..], &OFFSET.to_be_bytes()].concat()
        });
        assert_eq!(error, out_of_bounds(OFFSET, length - 8));
    }
}

#[test]
fn content_may_not_overlap_content() {
    let first = (OFFSET + 256, 256u32);
    let overlapping =
        [(256, 256), (0, 257), (511, 1), (511, 200), (0, 1024), (300, 10)].map(|(at, n)| (OFFSET + at, n));
    for style in CHUNKED {
        for (offset, length) in overlapping {
            for (first_is_data, second_is_data) in [(true, true), (true, false), (false, true), (false, false)] {
                let error = fault(&Setup::new(style), &[READ], |link, cookies| {
                    let zeroes = [0; 1024];
                    let chunk = |is_data, flags, (offset, length): (u64, u32)| {
                        let content =
                            if is_data { data(offset, &zeroes[..length as usize]) } else { hole(offset, length) };
                        link.chunk(cookies[0], flags, &content)
                    };
                    [chunk(first_is_data, MORE, first), chunk(second_is_data, LAST, (offset, length))].concat()
                });
                assert_eq!(error, PeerMisbehaved::Overlap { offset, length: length.into() }.into());
            }
        }
    }
}

#[test]
fn content_may_not_overlap_an_error_before_it() {
    for style in CHUNKED {
        for at in [OFFSET, OFFSET + 10, OFFSET + 1023] {
            let error = fault(&Setup::new(style), &[READ], |link, cookies| {
                let failure = link.chunk(cookies[0], MORE, &failed_at(ErrorValue::EIO, at));
                [failure, link.chunk(cookies[0], LAST, &hole(OFFSET, LENGTH as u32))].concat()
            });
            assert_eq!(error, PeerMisbehaved::Overlap { offset: OFFSET, length: LENGTH }.into());
        }
    }
}

#[test]
fn a_whole_range_told_twice_is_an_overlap_not_a_second_reply() {
    for style in CHUNKED {
        let error = fault(&Setup::new(style), &[READ], |link, cookies| {
            let content = hole(OFFSET, LENGTH as u32);
            [link.chunk(cookies[0], MORE, &content), link.chunk(cookies[0], LAST, &content)].concat()
        });
        assert_eq!(error, PeerMisbehaved::Overlap { offset: OFFSET, length: LENGTH }.into());
    }
}

#[test]
fn data_of_no_bytes_is_fatal() {
    for style in CHUNKED {
        for length in 0..=8 {
            let error = fault(&Setup::new(style), &[READ], |link, cookies| {
                link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, length)
            });
            let expected = Expected::AtLeast(9);
            let wrong = InvalidMessage::Length { message: Message::OffsetData, expected, got: length };
            assert_eq!(error, wrong.into());
        }
    }
}

#[test]
fn a_hole_of_no_bytes_is_fatal() {
    for style in CHUNKED {
        let error = fault(&Setup::new(style), &[READ], |link, cookies| link.chunk(cookies[0], LAST, &hole(OFFSET, 0)));
        assert_eq!(error, InvalidMessage::EmptyHole.into());
    }
}

#[test]
fn a_hole_of_another_payload_length_is_fatal() {
    for style in CHUNKED {
        for got in [0, 8, 11, 13, 16, u64::from(u32::MAX)] {
            let error = fault(&Setup::new(style), &[READ], |link, cookies| {
                link.header(cookies[0], LAST, ChunkType::OFFSET_HOLE, got)
            });
            let expected = Expected::Exactly(12);
            assert_eq!(error, InvalidMessage::Length { message: Message::OffsetHole, expected, got }.into());
        }
    }
}

#[test]
fn an_unfragmented_read_takes_one_content_chunk() {
    let command = READ.with_flags(CommandFlags::DF);
    for style in CHUNKED {
        for second in [data(OFFSET + 512, &[1; 512]), hole(OFFSET + 512, 512)] {
            for first in [data(OFFSET, &[1; 512]), hole(OFFSET, 512)] {
                let error = fault(&Setup::new(style), &[command], |link, cookies| {
                    [link.chunk(cookies[0], MORE, &first), link.chunk(cookies[0], LAST, &second)].concat()
                });
                assert_eq!(error, PeerMisbehaved::Fragmented.into());
            }
        }
    }
}

#[test]
fn a_read_of_nothing_takes_no_content() {
    let mut setup = Setup::new(nbd_proto::handshake::ReplyStyle::Structured);
    setup.settings = setup.settings.with_checks(!nbd_proto::transmission::Checks::EMPTY);
    let error = fault(&setup, &[Command::read(64, 0)], |link, cookies| link.chunk(cookies[0], LAST, &hole(64, 1)));
    let out = PeerMisbehaved::OutOfBounds { offset: 64, length: 1, asked_offset: 64, asked_length: 0 };
    assert_eq!(error, out.into());
}

#[test]
fn the_pieces_of_a_read_are_bounded() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        setup.size = 1 << 30;
        let mut link = setup.link();
        let cookie = link.submit(Command::read(0, 3 * MAX_FRAGMENTS as u64));
        for at in 0..MAX_FRAGMENTS as u64 {
            link.feed(&link.chunk(cookie, MORE, &hole(at * 2, 1)));
        }
        assert_eq!(link.error, None);
        // It may still grow together.
        link.feed(&link.chunk(cookie, MORE, &hole(1, 1)));
        link.feed(&link.chunk(cookie, MORE, &hole(2 * MAX_FRAGMENTS as u64 + 1, 1)));
        assert_eq!(link.error, None);
        link.feed(&link.chunk(cookie, MORE, &hole(2 * MAX_FRAGMENTS as u64 + 5, 1)));
        assert_eq!(link.assert_over(), PeerMisbehaved::TooManyFragments.into());
    }
}
