//! Headers of replies in the transmission phase.

use nbd_proto::wire::flags::ReplyFlags;
use nbd_proto::wire::number::{ChunkType, Cookie, ErrorValue};
use nbd_proto::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

use crate::octets::octets;
use crate::{emitted, streamed};

const COOKIE: Cookie = Cookie(0x0102_0304_0506_0708);

#[track_caller]
fn reply(golden: &str, value: ReplyHeader) {
    let golden = octets(golden);
    streamed(&golden, &value, ReplyHeader::parse, ReplyHeader::emit);
    assert_eq!(value.cookie(), COOKIE);
    let length = match value {
        ReplyHeader::Simple(reply) => {
            emitted(&golden, |out| reply.emit(out));
            SimpleReply::LENGTH
        }
        ReplyHeader::Structured(reply) => {
            emitted(&golden, |out| reply.emit(out));
            StructuredReply::LENGTH
        }
        ReplyHeader::Extended(reply) => {
            emitted(&golden, |out| reply.emit(out));
            ExtendedReply::LENGTH
        }
    };
    assert_eq!(golden.len(), length);
}

// T2
#[test]
fn simple_replies_with_every_error() {
    for (number, error) in [
        ("00000000", ErrorValue(0)),
        ("00000001", ErrorValue::EPERM),
        ("00000005", ErrorValue::EIO),
        ("0000000c", ErrorValue::ENOMEM),
        ("00000016", ErrorValue::EINVAL),
        ("0000001c", ErrorValue::ENOSPC),
        ("0000004b", ErrorValue::EOVERFLOW),
        ("0000005f", ErrorValue::ENOTSUP),
        ("0000006c", ErrorValue::ESHUTDOWN),
        ("ffffffff", ErrorValue(0xffff_ffff)),
    ] {
        let golden = format!("67446698 {number} 0102030405060708");
        reply(&golden, ReplyHeader::Simple(SimpleReply { error, cookie: COOKIE }));
    }
}

/// Flags, type, and their octets.
fn chunks() -> [(&'static str, ReplyFlags, ChunkType); 9] {
    let (more, done) = (ReplyFlags::empty(), ReplyFlags::DONE);
    [
        ("0001 0000", done, ChunkType::NONE),
        ("0000 0001", more, ChunkType::OFFSET_DATA),
        ("0001 0002", done, ChunkType::OFFSET_HOLE),
        ("0000 0005", more, ChunkType::BLOCK_STATUS),
        ("0001 0006", done, ChunkType::BLOCK_STATUS_EXT),
        ("0000 8001", more, ChunkType::ERROR),
        ("0001 8002", done, ChunkType::ERROR_OFFSET),
        // Unknown flags and types are kept.
        ("8003 7fff", ReplyFlags::from_bits_retain(0x8003), ChunkType(0x7fff)),
        ("0000 ffff", more, ChunkType(0xffff)),
    ]
}

// T2
#[test]
fn structured_replies_of_every_type() {
    for (octets, flags, chunk) in chunks() {
        let golden = format!("668e33ef {octets} 0102030405060708 fffffff0");
        let value = StructuredReply { flags, chunk, cookie: COOKIE, length: 0xffff_fff0 };
        reply(&golden, ReplyHeader::Structured(value));
    }
}

#[test]
fn extended_replies_of_every_type() {
    for (octets, flags, chunk) in chunks() {
        let golden = format!("6e8a278c {octets} 0102030405060708 1112131415161718 fffffffffffffff0");
        let (offset, length) = (0x1112_1314_1516_1718, 0xffff_ffff_ffff_fff0);
        let value = ExtendedReply { flags, chunk, cookie: COOKIE, offset, length };
        reply(&golden, ReplyHeader::Extended(value));
    }
}
