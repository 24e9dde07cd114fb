//! Option replies, each with its payload, and every kind of information.

use nbd_proto::error::{Field, InvalidMessage};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::ExportFacts;
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ContextId, InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};

use crate::octets::octets;
use crate::{emitted, patched, payload, streamed};

/// `cuts`: the lengths at which a prefix of the payload is a sound payload too.
#[track_caller]
fn reply(golden: &str, option: OptionCode, value: OptionReply<'_>, cuts: impl IntoIterator<Item = usize>) {
    let golden = octets(golden);
    let (header, rest) = golden.split_at(OptionReplyHeader::LENGTH);
    let expected = OptionReplyHeader { option, reply: value.reply(), length: rest.len() as u32 };
    streamed(header, &expected, OptionReplyHeader::parse, OptionReplyHeader::emit);
    payload(rest, &value, cuts, |bytes| OptionReply::parse(value.reply(), bytes));
    emitted(&golden, |out| value.emit(option, out));
    if let OptionReply::Info(info) = value {
        emitted(rest, |out| info.emit(out));
    }
}

// R1 R6
#[test]
fn ack() {
    reply("0003e889045565a9 00000003 00000001 00000000", OptionCode::LIST, OptionReply::Ack, []);
    reply("0003e889045565a9 0000000b 00000001 00000000", OptionCode::EXTENDED_HEADERS, OptionReply::Ack, []);
}

// O1
#[test]
fn server() {
    reply(
        "0003e889045565a9 00000003 00000002 0000000d 00000003 'abc' 'a disk'",
        OptionCode::LIST,
        OptionReply::Server { name: "abc", description: b"a disk" },
        7..13,
    );
    reply(
        "0003e889045565a9 00000003 00000002 00000007 00000003 'abc'",
        OptionCode::LIST,
        OptionReply::Server { name: "abc", description: b"" },
        [],
    );
    reply(
        "0003e889045565a9 00000003 00000002 00000004 00000000",
        OptionCode::LIST,
        OptionReply::Server { name: "", description: b"" },
        [],
    );
}

// O3
#[test]
fn info_export() {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_CACHE | TransmissionFlags::SEND_FAST_ZERO;
    reply(
        "0003e889045565a9 00000007 00000003 0000000c 0000 0000000040000000 0c01",
        OptionCode::GO,
        OptionReply::Info(Info::Export(ExportFacts { size: 1 << 30, flags })),
        [],
    );
}

// O2
#[test]
fn info_name() {
    reply(
        "0003e889045565a9 00000006 00000003 00000005 0001 'abc'",
        OptionCode::INFO,
        OptionReply::Info(Info::Name("abc")),
        2..5,
    );
}

// O2
#[test]
fn info_description() {
    reply(
        "0003e889045565a9 00000006 00000003 00000008 0002 'a disk'",
        OptionCode::INFO,
        OptionReply::Info(Info::Description(b"a disk")),
        2..8,
    );
}

// O4
#[test]
fn info_block_size() {
    reply(
        "0003e889045565a9 00000007 00000003 0000000e 0003 00000200 00001000 02000000",
        OptionCode::GO,
        OptionReply::Info(Info::BlockSize(BlockSizes { minimum: 512, preferred: 4096, maximum: 1 << 25 })),
        [],
    );
}

// O5
#[test]
fn unknown_information_is_kept_whole() {
    reply(
        "0003e889045565a9 00000007 00000003 00000004 8004 'xy'",
        OptionCode::GO,
        OptionReply::Info(Info::Unknown { info: InfoType(0x8004), payload: b"xy" }),
        2..4,
    );
}

// O9
#[test]
fn meta_context() {
    reply(
        "0003e889045565a9 0000000a 00000004 00000013 00000007 'base:allocation'",
        OptionCode::SET_META_CONTEXT,
        OptionReply::MetaContext { id: ContextId(7), name: "base:allocation" },
        5..19,
    );
}

// R2 R3
#[test]
fn every_error_with_and_without_a_message() {
    for (number, kind) in [
        ("80000001", ReplyType::ERR_UNSUP),
        ("80000002", ReplyType::ERR_POLICY),
        ("80000003", ReplyType::ERR_INVALID),
        ("80000004", ReplyType::ERR_PLATFORM),
        ("80000005", ReplyType::ERR_TLS_REQD),
        ("80000006", ReplyType::ERR_UNKNOWN),
        ("80000007", ReplyType::ERR_SHUTDOWN),
        ("80000008", ReplyType::ERR_BLOCK_SIZE_REQD),
        ("80000009", ReplyType::ERR_TOO_BIG),
        ("8000000a", ReplyType::ERR_EXT_HEADER_REQD),
        ("80000000", ReplyType(0x8000_0000)),
        ("ffffffff", ReplyType(0xffff_ffff)),
    ] {
        assert!(kind.is_error());
        let bare = format!("0003e889045565a9 00000007 {number} 00000000");
        reply(&bare, OptionCode::GO, OptionReply::Error { reply: kind, message: b"" }, []);
        // The last byte is no UTF-8: the message is for people, and so is taken as it is.
        let told = format!("0003e889045565a9 00000007 {number} 00000006 'no' 207765 ff");
        reply(&told, OptionCode::GO, OptionReply::Error { reply: kind, message: b"no we\xff" }, 0..6);
    }
}

// R7
#[test]
fn unknown_replies_are_kept() {
    reply(
        "0003e889045565a9 0000002a 00000005 00000003 'xyz'",
        OptionCode(0x2a),
        OptionReply::Unknown { reply: ReplyType(5), payload: b"xyz" },
        0..3,
    );
}

// O1
#[test]
fn wrong_inner_length_of_a_server_name() {
    #[track_caller]
    fn parsed_to(payload: &[u8], expected: &Result<OptionReply<'_>, InvalidMessage>) {
        assert_eq!(&OptionReply::parse(ReplyType::SERVER, payload), expected);
    }
    let golden = octets("00000003 'abc' 'a disk'");
    let wrong = |with: u32| patched(&golden, 0, &with.to_be_bytes());
    // Shorter and longer names are sound as long as they fit: the rest is description.
    parsed_to(&wrong(0), &Ok(OptionReply::Server { name: "", description: b"abca disk" }));
    parsed_to(&wrong(4), &Ok(OptionReply::Server { name: "abca", description: b" disk" }));
    parsed_to(&wrong(2), &Ok(OptionReply::Server { name: "ab", description: b"ca disk" }));
    let error = |length, room| Err(InvalidMessage::InnerLength { field: Field::ExportName, length, room });
    parsed_to(&wrong(u32::MAX), &error(0xffff_ffff, 9));
    parsed_to(&wrong(10), &error(10, 9));
    parsed_to(&octets("00000004 'abc'"), &error(4, 3));
}
