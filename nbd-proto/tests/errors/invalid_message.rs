//! Bytes that are no message.

use nbd_proto::error::InvalidMessage;
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::greeting::Greeting;
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, ReplyType};
use nbd_proto::wire::option_reply::OptionReply;

use crate::octets::octets;
use crate::{Provoked, row};

fn greeting(bytes: &str) -> InvalidMessage {
    Greeting::parse(&octets(bytes)).unwrap_err()
}

fn reply(reply: ReplyType, payload: &str) -> InvalidMessage {
    OptionReply::parse(reply, &octets(payload)).unwrap_err()
}

fn chunk(chunk: ChunkType, payload: &str) -> InvalidMessage {
    Chunk::parse(chunk, &octets(payload)).unwrap_err()
}

pub(crate) fn table() -> Vec<Provoked> {
    vec![
        row(
            "Magic",
            &greeting("'SSH-2.0-OpenSSH_9.2'"),
            "the greeting NBDMAGIC expected, but the bytes begin with 0x5353482d322e302d; is this an NBD server?",
        ),
        row(
            "OldstyleFlags",
            &greeting("'NBDMAGIC' 0000420281861253 0000000000100000 00010003"),
            "an oldstyle greeting has flags 0x00010003; the upper 16 bits must be zero",
        ),
        row("Length", &reply(ReplyType::ACK, "00"), "NBD_REP_ACK has a payload of 1 bytes where exactly 0 is right"),
        row(
            "Length",
            &chunk(ChunkType::OFFSET_DATA, "00*8"),
            "NBD_REPLY_TYPE_OFFSET_DATA has a payload of 8 bytes where at least 9 is right",
        ),
        row(
            "Length",
            &chunk(ChunkType::ERROR, "00*4"),
            "an error chunk has a payload of 4 bytes where 6 to 4102 is right",
        ),
        row(
            "Length",
            &chunk(ChunkType::BLOCK_STATUS, "00*5"),
            "a block status chunk has a payload of 5 bytes where 4 and a positive multiple of 8 is right",
        ),
        row(
            "InnerLength",
            &chunk(ChunkType::ERROR, "00000005 0009 'four'"),
            "an error message claims 9 bytes in a payload that has room for 4",
        ),
        row(
            "TrailingBytes",
            &chunk(ChunkType::ERROR, "00000005 0001 'a' 00"),
            "an error chunk has 1 bytes behind its last field",
        ),
        row(
            "StringTooLong",
            &reply(ReplyType::SERVER, "00001001 61*4097"),
            "an export name is 4097 bytes long; the protocol allows 4096",
        ),
        row("NotUtf8", &reply(ReplyType::SERVER, "00000001 ff"), "an export name is not UTF-8"),
        row(
            "HasNul",
            &reply(ReplyType::META_CONTEXT, "00000007 'a' 00"),
            "the name of a metadata context has a NUL character in it",
        ),
        row(
            "BlockSizes",
            &Info::parse(&octets("0003 00000003 00001000 00000007")).unwrap_err(),
            "the block sizes minimum 3, preferred 4096, maximum 7 make no sense: the first two must be powers of two, \
            and none may be below the minimum",
        ),
        row(
            "EmptyHole",
            &chunk(ChunkType::OFFSET_HOLE, "0000000000001000 00000000"),
            "a hole of length 0 came; it must be 1 byte at least",
        ),
        row(
            "EmptyExtent",
            &chunk(ChunkType::BLOCK_STATUS, "00000007 00000000 00000003"),
            "an extent of length 0 came in metadata context 0x7; it must be 1 byte at least",
        ),
        row(
            "DescriptorCount",
            &chunk(ChunkType::BLOCK_STATUS_EXT, "00000007 00000002 00*7 01 00*8"),
            "a block status chunk claims 2 descriptors and holds 1",
        ),
        row(
            "ErrorChunkWithoutError",
            &chunk(ChunkType::ERROR, "00000000 0000"),
            "an error chunk (NBD_REPLY_TYPE_ERROR) came with error number 0, which stands for success",
        ),
    ]
}
