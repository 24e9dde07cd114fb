//! The octets of extended replies (extended-headers extension, *Extended reply chunk message*). Each echoes the offset
//! of its request.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ReadPart};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::ErrorValue;

use crate::harness::{Link, each_way, patterns};
use crate::octets::octets;
use crate::setup::Setup;

const READ: &str = "21e41c71 0000 0000 0102030405060708 0000000000000200 0000000000000600";

#[track_caller]
fn play(scene: impl Fn(&mut Link)) {
    each_way(&Setup::new(ReplyStyle::Extended), scene);
}

#[test]
fn data_is_one_chunk() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Data(0x600)]).unwrap();
        let header = octets(
            "6e8a278c 0001 0001 0102030405060708 0000000000000200 0000000000000608
             0000000000000200",
        );
        assert_eq!(link.send_all(), [header, patterns(0x200, 0x600)].concat());
    });
}

#[test]
fn a_hole_is_told_without_its_zeroes() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Hole(0x600)]).unwrap();
        let expected = octets(
            "6e8a278c 0001 0002 0102030405060708 0000000000000200 000000000000000c
             0000000000000200 00000600",
        );
        assert_eq!(link.send_all(), expected);
    });
}

#[test]
fn only_the_last_of_several_parts_is_marked_and_all_echo_the_offset_of_the_request() {
    play(|link| {
        link.feed(&octets(READ));
        link.finish_read(0, &[ReadPart::Hole(0x200), ReadPart::Data(0x200), ReadPart::Hole(0x200)]).unwrap();
        let expected = [
            octets("6e8a278c 0000 0002 0102030405060708 0000000000000200 000000000000000c 0000000000000200 00000200"),
            octets("6e8a278c 0000 0001 0102030405060708 0000000000000200 0000000000000208 0000000000000400"),
            patterns(0x400, 0x200),
            octets("6e8a278c 0001 0002 0102030405060708 0000000000000200 000000000000000c 0000000000000600 00000200"),
        ];
        assert_eq!(link.send_all(), expected.concat());
    });
}

// "the server MUST NOT use simple replies even when there is no payload"
#[test]
fn success_without_content_is_an_empty_chunk() {
    play(|link| {
        link.feed(&octets("21e41c71 0020 0001 0000000000000007 0000000000000200 0000000000000004 'data'"));
        link.finish(0).unwrap();
        assert_eq!(link.buffers[0], b"data");
        assert_eq!(link.send_all(), octets("6e8a278c 0001 0000 0000000000000007 0000000000000200 0000000000000000"));
    });
}

#[test]
fn an_error_has_its_words() {
    play(|link| {
        link.feed(&octets(READ));
        let failure = Failure { error: ErrorValue::EIO, message: "gone", offset: None };
        link.server.fail(link.id(0), &failure).unwrap();
        let expected = octets(
            "6e8a278c 0001 8001 0102030405060708 0000000000000200 000000000000000a
             00000005 0004 'gone'",
        );
        assert_eq!(link.send_all(), expected);
    });
}

#[test]
fn an_error_at_an_offset_tells_it_behind_the_words() {
    play(|link| {
        link.feed(&octets(READ));
        let failure = Failure { error: ErrorValue::EIO, message: "", offset: Some(0x200) };
        link.server.fail(link.id(0), &failure).unwrap();
        let expected = octets(
            "6e8a278c 0001 8002 0102030405060708 0000000000000200 000000000000000e
             00000005 0000 0000000000000200",
        );
        assert_eq!(link.send_all(), expected);
    });
}

#[test]
fn a_block_status_has_64_bits_and_counts_its_extents() {
    let setup = Setup::new(ReplyStyle::Extended).with_size(1 << 40);
    each_way(&setup, |link| {
        link.feed(&octets("21e41c71 0000 0007 0000000000000007 0000000000000200 0000008000000000"));
        let base = [Descriptor { length: 0x200, flags: 3 }, Descriptor { length: 0x80_0000_0000, flags: 0 }];
        let other = [Descriptor { length: 0x80_0000_0000, flags: u64::MAX }];
        link.finish_status(0, &[(1, &base), (3, &other)]).unwrap();
        let expected = [
            octets("6e8a278c 0000 0006 0000000000000007 0000000000000200 0000000000000028 00000001 00000002"),
            octets("0000000000000200 0000000000000003 0000008000000000 0000000000000000"),
            octets("6e8a278c 0001 0006 0000000000000007 0000000000000200 0000000000000018 00000003 00000001"),
            octets("0000008000000000 ffffffffffffffff"),
        ];
        assert_eq!(link.send_all(), expected.concat());
    });
}
