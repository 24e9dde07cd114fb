//! Requests that are not aligned to the minimum block size (spec, *Size constraints*).

use nbd_proto::wire::number::CommandType;

use crate::setup::{CHUNKED, STYLES, Setup};
use crate::verdict::asked;

const COMMANDS: [CommandType; 5] =
    [CommandType::READ, CommandType::WRITE, CommandType::TRIM, CommandType::CACHE, CommandType::WRITE_ZEROES];

#[test]
fn offset_and_length_have_to_be_multiples_of_the_minimum_block_size() {
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(16, 4096)) {
        for command in COMMANDS {
            asked(command, 16, 16).expect(&setup, None);
            for (offset, length) in [(1, 16), (15, 16), (24, 16), (16, 1), (16, 15), (16, 17), (8, 8)] {
                asked(command, offset, length).expect(&setup, Some(22));
            }
        }
    }
    for setup in CHUNKED.map(|style| Setup::new(style).with_sizes(16, 4096)) {
        asked(CommandType::BLOCK_STATUS, 16, 32).expect(&setup, None);
        asked(CommandType::BLOCK_STATUS, 17, 32).expect(&setup, Some(22));
        asked(CommandType::BLOCK_STATUS, 16, 31).expect(&setup, Some(22));
    }
}

#[test]
fn a_request_that_is_unaligned_and_too_long_is_past_the_end_first() {
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(16, 4096)) {
        asked(CommandType::WRITE, (1 << 20) - 1, 2).expect(&setup, Some(28));
    }
}

#[test]
fn without_block_sizes_anything_is_aligned() {
    for setup in STYLES.map(Setup::new) {
        for command in COMMANDS {
            asked(command, 3, 5).expect(&setup, None);
        }
    }
}
