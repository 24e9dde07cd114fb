//! "Servers SHOULD NOT send more than 2^20 extents in a single reply chunk", and none larger than the maximum payload.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::CommandType;

use crate::client::chunks;
use crate::harness::{Link, WHOLE};
use crate::setup::{BASE, Setup};

/// How many are told of more than anybody wants to hear.
fn count(setup: &Setup) -> usize {
    let mut link = Link::new(&setup.clone().with_contexts(&["base:allocation"]), WHOLE);
    let many = vec![Descriptor { length: 1, flags: 0 }; (1 << 20) + 5];
    link.ask(7, CommandType::BLOCK_STATUS, 0, 1 << 30);
    link.finish_status(0, &[(BASE, &many)]).unwrap();
    chunks(&link.send_all())[0].extents().1.len()
}

#[test]
fn there_are_no_more_than_a_million() {
    for style in [ReplyStyle::Structured, ReplyStyle::Extended] {
        assert_eq!(count(&Setup::new(style).with_size(1 << 30)), 1 << 20);
    }
}

// "A server MUST NOT send a chunk where any variable-length portion of the chunk is larger than any advertised maximum
// payload size"
#[test]
fn there_are_no_more_than_fit_the_maximum_payload() {
    for (style, of) in [(ReplyStyle::Structured, 8), (ReplyStyle::Extended, 16)] {
        for maximum in [512, 1000, 1023, 1024] {
            let setup = Setup::new(style).with_size(1 << 30).with_sizes(1, maximum);
            assert_eq!(count(&setup), maximum as usize / of);
        }
    }
}
