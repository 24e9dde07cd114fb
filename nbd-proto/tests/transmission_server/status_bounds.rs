//! The range of a `BLOCK_STATUS`: "The server SHOULD return `NBD_EINVAL` if it receives a `NBD_CMD_BLOCK_STATUS`
//! request with an effect length exceeding the size of the export".

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::number::CommandType;

use crate::setup::{CHUNKED, Setup};
use crate::verdict::asked;

const STATUS: CommandType = CommandType::BLOCK_STATUS;

#[test]
fn block_status_may_end_where_the_export_does_and_no_further() {
    for setup in CHUNKED.map(|style| Setup::new(style).with_size(10_000)) {
        asked(STATUS, 0, 10_000).expect(&setup, None);
        asked(STATUS, 9_999, 1).expect(&setup, None);
        for (offset, length) in [(0, 10_001), (1, 10_000), (10_000, 1), (u64::MAX, 1), (u64::MAX, 2), (0, 0)] {
            asked(STATUS, offset, length).expect(&setup, Some(22));
        }
    }
}

#[test]
fn an_effect_length_of_more_than_32_bits_is_taken() {
    let setup = Setup::new(ReplyStyle::Extended).with_size(1 << 50);
    for command in [STATUS, CommandType::TRIM, CommandType::WRITE_ZEROES, CommandType::CACHE] {
        asked(command, 0, 1 << 50).expect(&setup, None);
    }
}

#[test]
fn without_contexts_there_is_no_block_status() {
    for style in CHUNKED {
        asked(STATUS, 0, 512).expect(&Setup::new(style).with_contexts(&[]), Some(22));
    }
    asked(STATUS, 0, 512).expect(&Setup::new(ReplyStyle::Simple), Some(22));
}
