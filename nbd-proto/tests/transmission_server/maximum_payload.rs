//! Requests longer than the maximum payload (spec, *Size constraints*).

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Segment;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::{Chunk, chunks, request};
use crate::setup::{CHUNKED, STYLES, Setup};
use crate::verdict::{Asked, asked};

const EINVAL: u32 = 22;
const EOVERFLOW: u32 = 75;

fn overflow(style: ReplyStyle) -> u32 {
    // "The server SHOULD NOT return `NBD_EOVERFLOW` except" to a read that may be split, or has DF.
    if style == ReplyStyle::Simple { EINVAL } else { EOVERFLOW }
}

#[test]
fn a_read_may_be_as_long_as_the_maximum_payload_and_no_longer() {
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(1, 1000)) {
        asked(CommandType::READ, 5, 1000).expect(&setup, None);
        asked(CommandType::READ, 5, 1001).expect(&setup, Some(overflow(setup.style)));
    }
}

#[test]
fn so_may_a_write() {
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(1, 1000)) {
        asked(CommandType::WRITE, 5, 1000).expect(&setup, None);
        asked(CommandType::WRITE, 5, 1001).expect(&setup, Some(EINVAL));
    }
}

// "For commands that do not require a payload in either direction [...], the client MAY request an effect length
// larger than the maximum payload size"
#[test]
fn commands_without_payload_may_be_longer() {
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(1, 1000)) {
        for command in [CommandType::TRIM, CommandType::CACHE, CommandType::WRITE_ZEROES] {
            asked(command, 0, 1 << 20).expect(&setup, None);
        }
    }
    for setup in CHUNKED.map(|style| Setup::new(style).with_sizes(1, 1000)) {
        asked(CommandType::BLOCK_STATUS, 0, 1 << 20).expect(&setup, None);
    }
}

#[test]
fn without_block_sizes_it_is_32_mib() {
    for setup in STYLES.map(|style| Setup::new(style).with_size(1 << 40)) {
        asked(CommandType::READ, 0, 1 << 25).look(&setup, None);
        asked(CommandType::READ, 0, (1 << 25) + 1).look(&setup, Some(overflow(setup.style)));
        asked(CommandType::WRITE, 0, 1 << 25).look(&setup, None);
    }
}

// A chunk of data has 8 bytes before it, and its length has 32 bits.
#[test]
fn a_read_that_may_not_be_split_has_to_fit_one_chunk() {
    let most = u64::from(u32::MAX) - 8;
    for setup in CHUNKED.map(|style| Setup::new(style).with_size(1 << 40).with_sizes(1, u32::MAX)) {
        asked(CommandType::READ, 0, most).with_flags(CommandFlags::DF).look(&setup, None);
        asked(CommandType::READ, 0, most + 1).with_flags(CommandFlags::DF).look(&setup, Some(EOVERFLOW));
        asked(CommandType::READ, 0, most + 1).look(&setup, None);
    }
}

impl Asked {
    /// As `expect`, but from the header alone, and without a buffer for what would be moved.
    #[track_caller]
    fn look(self, setup: &Setup, expected: Option<u32>) {
        let mut server = setup.server();
        let bytes = request(setup.style, 1, self.command, self.flags, self.offset, self.length);
        let told = server.input(&bytes).unwrap().event.is_some();
        let mut answer = Vec::new();
        for segment in server.outbound() {
            match segment {
                Segment::Framing(bytes) => answer.extend_from_slice(bytes),
                Segment::Payload { owner, range } => panic!("payload of {owner:?}: {range:?}"),
            }
        }
        let verdict = chunks(&answer).first().map(Chunk::error);
        assert_eq!((verdict, told), (expected, expected.is_none()), "{self:?}");
    }
}
