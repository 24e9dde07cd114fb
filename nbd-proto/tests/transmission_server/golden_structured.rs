//! The octets of structured replies (spec, *Structured reply chunk message*).

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ReadPart};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::ErrorValue;

use crate::harness::{Link, each_way, patterns};
use crate::octets::octets;
use crate::setup::Setup;

const READ: &str = "25609513 0000 0000 0102030405060708 0000000000000200 00000600";

#[track_caller]
fn play(scene: impl Fn(&mut Link)) {
    each_way(&Setup::new(ReplyStyle::Structured), scene);
}

#[test]
fn data_is_one_chunk() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Data(0x600)]).unwrap();
        let header = octets("668e33ef 0001 0001 0102030405060708 00000608 0000000000000200");
        assert_eq!(link.send_all(), [header, patterns(0x200, 0x600)].concat());
    });
}

#[test]
fn a_hole_is_told_without_its_zeroes() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Hole(0x600)]).unwrap();
        assert_eq!(link.send_all(), octets("668e33ef 0001 0002 0102030405060708 0000000c 0000000000000200 00000600"));
    });
}

#[test]
fn only_the_last_of_several_parts_is_marked_as_last() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Data(0x200), ReadPart::Hole(0x200), ReadPart::Data(0x200)]).unwrap();
        let expected = [
            octets("668e33ef 0000 0001 0102030405060708 00000208 0000000000000200"),
            patterns(0x200, 0x200),
            octets("668e33ef 0000 0002 0102030405060708 0000000c 0000000000000400 00000200"),
            octets("668e33ef 0001 0001 0102030405060708 00000208 0000000000000600"),
            patterns(0x600, 0x200),
        ];
        assert_eq!(link.send_all(), expected.concat());
    });
}

#[test]
fn success_without_content_is_a_simple_reply() {
    play(|link| {
        link.feed(&octets("25609513 0000 0001 0000000000000007 0000000000000000 00000004 'data'"));
        link.finish(0).unwrap();
        assert_eq!(link.send_all(), octets("67446698 00000000 0000000000000007"));
    });
}

// "MUST NOT use a simple reply for `NBD_CMD_READ`"
#[test]
fn a_read_of_nothing_succeeds_with_an_empty_chunk() {
    play(|link| {
        link.feed(&octets("25609513 0000 0000 0000000000000007 0000000000000000 00000000"));
        assert_eq!(link.send_all(), octets("668e33ef 0001 0000 0000000000000007 00000000"));
    });
}

#[test]
fn an_error_has_its_words() {
    play(|link| {
        link.feed(&octets(READ));
        let failure = Failure { error: ErrorValue::EIO, message: "gone", offset: None };
        link.server.fail(link.id(0), &failure).unwrap();
        assert_eq!(link.send_all(), octets("668e33ef 0001 8001 0102030405060708 0000000a 00000005 0004 'gone'"));
    });
}

#[test]
fn an_error_at_an_offset_tells_it_behind_the_words() {
    play(|link| {
        link.feed(&octets(READ));
        let failure = Failure { error: ErrorValue::ENOMEM, message: "gone", offset: Some(0x7ff) };
        link.server.fail(link.id(0), &failure).unwrap();
        assert_eq!(
            link.send_all(),
            octets("668e33ef 0001 8002 0102030405060708 00000012 0000000c 0004 'gone' 00000000000007ff")
        );
    });
}

#[test]
fn a_block_status_is_one_chunk_for_each_context() {
    play(|link| {
        link.feed(&octets("25609513 0000 0007 0000000000000007 0000000000000200 00000600"));
        let base = [Descriptor { length: 0x200, flags: 3 }, Descriptor { length: 0x400, flags: 0 }];
        let other = [Descriptor { length: 0x600, flags: 0xffff_ffff }];
        // In the order in which they are answered, which need not be that of the ids.
        link.finish_status(0, &[(3, &other), (1, &base)]).unwrap();
        let expected = [
            octets("668e33ef 0000 0005 0000000000000007 0000000c 00000003 00000600 ffffffff"),
            octets("668e33ef 0001 0005 0000000000000007 00000014 00000001 00000200 00000003 00000400 00000000"),
        ];
        assert_eq!(link.send_all(), expected.concat());
    });
}
