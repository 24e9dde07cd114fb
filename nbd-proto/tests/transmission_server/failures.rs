//! What the caller says of a failure, made fit to be sent.

use nbd_proto::transmission::Failure;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::{Chunk, chunks};
use crate::harness::{Link, each_style, each_way};
use crate::setup::{CHUNKED, Setup};

const EIO: ErrorValue = ErrorValue::EIO;

#[track_caller]
fn told(message: &str, offset: Option<u64>, check: impl Fn(&Chunk)) {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link: &mut Link| {
            link.ask(7, CommandType::TRIM, 512, 100);
            link.server.fail(link.id(0), &Failure { error: EIO, message, offset }).unwrap();
            let chunks = chunks(&link.send_all());
            assert_eq!((chunks.len(), chunks[0].last, chunks[0].error()), (1, true, 5));
            check(&chunks[0]);
        });
    }
}

// "which MUST lie within the original offset and length of the request"
#[test]
fn an_offset_outside_the_request_is_not_told() {
    for offset in [512, 513, 611] {
        told("", Some(offset), |chunk| {
            assert_eq!((chunk.kind, &chunk.payload[6..]), (Some(0x8002), &offset.to_be_bytes()[..]));
        });
    }
    for offset in [0, 511, 612, u64::MAX] {
        told("words", Some(offset), |chunk| {
            assert_eq!((chunk.kind, chunk.payload.len(), chunk.message()), (Some(0x8001), 11, "words"));
        });
    }
}

// "*message length* MUST NOT exceed the 4096 bytes string length limit"
#[test]
fn words_are_cut_at_4096_bytes() {
    for (length, expected) in [(4095, 4095), (4096, 4096), (4097, 4096), (100_000, 4096)] {
        told(&"w".repeat(length), None, |chunk| assert_eq!(chunk.message().len(), expected));
    }
    told(&"w".repeat(5000), Some(512), |chunk| {
        assert_eq!((chunk.kind, chunk.payload.len()), (Some(0x8002), 6 + 4096 + 8));
    });
}

#[test]
fn words_are_cut_between_two_characters_and_before_a_nul() {
    told(&"\u{20ac}".repeat(2000), None, |chunk| assert_eq!(chunk.message(), "\u{20ac}".repeat(1365)));
    told("one\0two", None, |chunk| assert_eq!(chunk.message(), "one"));
}

#[test]
fn any_error_number_is_sent_as_it_is_but_0() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            for (number, expected) in [(1, 1), (0, 5), (200, 200), (u32::MAX, u32::MAX)] {
                link.ask(7, CommandType::FLUSH, 0, 0);
                link.fail(link.requests.len() - 1, ErrorValue(number)).unwrap();
                assert_eq!(link.answers(), [(7, expected)]);
            }
        });
    }
}

// "The server SHOULD NOT return `NBD_ENOTSUP` except as documented in response to `NBD_CMD_WRITE_ZEROES` when
// `NBD_CMD_FLAG_FAST_ZERO` is supported", and with that flag unset it "MUST NOT fail with `NBD_ENOTSUP`"
#[test]
fn what_is_not_supported_is_said_so_of_fast_zeroes_alone() {
    each_style(|link| {
        let fast = CommandFlags::FAST_ZERO;
        for (command, flags, expected) in [
            (CommandType::WRITE_ZEROES, fast, 95),
            (CommandType::WRITE_ZEROES, fast | CommandFlags::NO_HOLE, 95),
            (CommandType::WRITE_ZEROES, CommandFlags::empty(), 22),
            (CommandType::TRIM, CommandFlags::empty(), 22),
            (CommandType::READ, CommandFlags::empty(), 22),
        ] {
            link.ask_with(7, command, flags, 0, 512);
            link.fail(link.requests.len() - 1, ErrorValue::ENOTSUP).unwrap();
            assert_eq!(link.answers(), [(7, expected)], "{command} {flags:?}");
        }
    });
}
