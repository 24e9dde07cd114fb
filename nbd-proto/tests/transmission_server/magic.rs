//! A request that does not begin as agreed ends the connection.

use nbd_proto::error::{Error, InvalidMessage, Message};
use nbd_proto::handshake::ReplyStyle;

use crate::client::raw_request;
use crate::harness::{each_style, each_way};
use crate::setup::{STYLES, Setup};

fn wrong(got: u64) -> Error {
    InvalidMessage::Magic { message: Message::Request, got }.into()
}

#[test]
fn compact_where_extended_was_agreed_and_the_reverse() {
    for setup in STYLES.map(Setup::new) {
        let extended = setup.style == ReplyStyle::Extended;
        each_way(&setup, |link| {
            link.feed(&raw_request(!extended, 1, 3, 0, 0, 0));
            assert_eq!(link.error, Some(wrong(if extended { 0x2560_9513 } else { 0x21e4_1c71 })));
        });
    }
}

#[test]
fn a_wrong_magic_is_seen_before_the_rest_has_come() {
    each_style(|link| {
        link.feed(&[0x25, 0x60, 0x95]);
        assert_eq!(link.error, None);
        link.feed(&[0x14]);
        assert_eq!(link.error, Some(wrong(0x2560_9514)));
    });
}

#[test]
fn what_was_in_flight_has_its_done_first() {
    each_style(|link| {
        link.ask(1, nbd_proto::wire::number::CommandType::FLUSH, 0, 0);
        link.feed(b"GET / HTTP/1.1");
        assert_eq!(link.error, Some(wrong(0x4745_5420)));
        assert_eq!(link.seen().last(), Some(&crate::harness::Seen::Done(0, false)));
    });
}
