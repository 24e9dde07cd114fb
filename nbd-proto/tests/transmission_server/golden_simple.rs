//! The octets of simple replies (spec, *Simple reply message*).

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ReadPart};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::ErrorValue;

use crate::harness::{Seen, each_way, patterns};
use crate::octets::octets;
use crate::setup::Setup;

#[test]
fn a_read_is_answered_with_its_data() {
    each_way(&Setup::new(ReplyStyle::Simple), |link| {
        link.feed(&octets("25609513 0000 0000 0102030405060708 0000000000000200 00000005"));
        // Holes are no matter here: all comes from the buffer.
        link.finish_read(0, &[ReadPart::Data(2), ReadPart::Hole(3)]).unwrap();
        let data = patterns(0x200, 5);
        assert_eq!(link.send_all(), [octets("67446698 00000000 0102030405060708"), data].concat());
    });
}

#[test]
fn a_write_is_answered_with_success() {
    each_way(&Setup::new(ReplyStyle::Simple), |link| {
        link.feed(&octets("25609513 0001 0001 ffffffffffffffff 0000000000000200 00000004 'data'"));
        assert_eq!((link.buffers[0].as_slice(), link.requests[0].flags), (&b"data"[..], CommandFlags::FUA));
        link.finish(0).unwrap();
        assert_eq!(link.send_all(), octets("67446698 00000000 ffffffffffffffff"));
    });
}

#[test]
fn a_command_without_content_is_answered_with_success() {
    each_way(&Setup::new(ReplyStyle::Simple), |link| {
        for command in
            ["0003 0000000000000007 0000000000000000 00000000", "0004 0000000000000007 0000000000000200 00001000"]
        {
            link.feed(&octets(&["25609513 0000", command].join(" ")));
            link.finish(link.requests.len() - 1).unwrap();
            assert_eq!(link.send_all(), octets("67446698 00000000 0000000000000007"));
        }
    });
}

#[test]
fn an_error_has_neither_words_nor_place_nor_data() {
    each_way(&Setup::new(ReplyStyle::Simple), |link| {
        link.feed(&octets("25609513 0000 0000 0000000000000007 0000000000000200 00000005"));
        let failure = Failure { error: ErrorValue::EIO, message: "the disk is gone", offset: Some(0x202) };
        link.server.fail(link.id(0), &failure).unwrap();
        assert_eq!(link.send_all(), octets("67446698 00000005 0000000000000007"));
        let told = [Seen::Request(0, link.requests[0].command), Seen::Done(0, true)];
        assert_eq!(link.seen(), told);
    });
}

#[test]
fn an_error_of_0_is_eio() {
    each_way(&Setup::new(ReplyStyle::Simple), |link| {
        link.feed(&octets("25609513 0000 0003 0000000000000007 0000000000000000 00000000"));
        link.fail(0, ErrorValue(0)).unwrap();
        assert_eq!(link.send_all(), octets("67446698 00000005 0000000000000007"));
    });
}
