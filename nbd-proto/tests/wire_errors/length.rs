//! Payloads whose length does not fit their kind.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message};
use nbd_proto::limits::{MAX_EXTENTS, MAX_UNKNOWN_INFO};
use nbd_proto::wire::chunk::{Chunk, ErrorChunk, Width};
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};
use nbd_proto::wire::request::BlockStatusPayload;

use crate::octets::octets;

fn wrong<T>(message: Message, expected: Expected, got: u64) -> Result<T, InvalidMessage> {
    Err(InvalidMessage::Length { message, expected, got })
}

/// A reply header with this length; whether it passes.
fn header(reply: ReplyType, length: u32) -> Result<(), InvalidMessage> {
    let mut bytes = Vec::new();
    OptionReplyHeader { option: OptionCode::GO, reply, length }.emit(&mut bytes);
    OptionReplyHeader::parse(&bytes).map(|parsed| assert!(parsed.is_some()))
}

// R6
#[test]
fn ack_header_with_a_length() {
    let expected = Expected::Exactly(0);
    assert_eq!(header(ReplyType::ACK, 1), wrong(Message::Ack, expected, 1));
    assert_eq!(header(ReplyType::ACK, u32::MAX), wrong(Message::Ack, expected, 0xffff_ffff));
    assert_eq!(header(ReplyType::ACK, 0), Ok(()));
}

// R6
#[test]
fn ack_with_a_payload() {
    assert_eq!(OptionReply::parse(ReplyType::ACK, b"\0"), wrong(Message::Ack, Expected::Exactly(0), 1));
}

// O1
#[test]
fn server_header_out_of_bounds() {
    let expected = Expected::Between(4, 4 + 2 * 4096);
    assert_eq!(header(ReplyType::SERVER, 3), wrong(Message::Server, expected, 3));
    assert_eq!(header(ReplyType::SERVER, 8197), wrong(Message::Server, expected, 8197));
    assert_eq!(header(ReplyType::SERVER, u32::MAX), wrong(Message::Server, expected, 0xffff_ffff));
    assert_eq!(header(ReplyType::SERVER, 4), Ok(()));
    assert_eq!(header(ReplyType::SERVER, 8196), Ok(()));
}

// O1
#[test]
fn server_too_short_for_a_name_length() {
    assert_eq!(OptionReply::parse(ReplyType::SERVER, b"\0\0\0"), wrong(Message::Server, Expected::AtLeast(4), 3));
}

// O1
#[test]
fn server_name_longer_than_its_payload() {
    let error = InvalidMessage::InnerLength { field: Field::ExportName, length: 1, room: 0 };
    assert_eq!(OptionReply::parse(ReplyType::SERVER, &octets("00000001")), Err(error));
}

// O2
#[test]
fn info_header_out_of_bounds() {
    let expected = Expected::Between(2, 1 << 20);
    for length in [0, 1, MAX_UNKNOWN_INFO + 1, u32::MAX] {
        assert_eq!(header(ReplyType::INFO, length), wrong(Message::Info, expected, u64::from(length)));
    }
    assert_eq!(header(ReplyType::INFO, 2), Ok(()));
    assert_eq!(header(ReplyType::INFO, MAX_UNKNOWN_INFO), Ok(()));
}

// O2
#[test]
fn info_too_short_for_a_type() {
    assert_eq!(Info::parse(b""), wrong(Message::Info, Expected::AtLeast(2), 0));
    assert_eq!(OptionReply::parse(ReplyType::INFO, b"\0"), wrong(Message::Info, Expected::AtLeast(2), 1));
}

// O3
#[test]
fn info_export_of_another_length() {
    let payload = octets("0000 0000000040000000 0001 ffff");
    for got in [2, 11, 13, 14] {
        let error = wrong(Message::InfoExport, Expected::Exactly(12), got);
        assert_eq!(Info::parse(&payload[..got as usize]), error);
    }
}

// O4
#[test]
fn info_block_size_of_another_length() {
    let payload = octets("0003 00000001 00001000 02000000 ffff");
    for got in [2, 13, 15, 16] {
        let error = wrong(Message::InfoBlockSize, Expected::Exactly(14), got);
        assert_eq!(Info::parse(&payload[..got as usize]), error);
    }
}

// O5
#[test]
fn unknown_information_of_any_length() {
    let payload = [octets("0004"), vec![0xff; 1 << 20]].concat();
    for length in [2, 3, 4098, 4099, 1 << 20] {
        assert!(
            matches!(Info::parse(&payload[..length]), Ok(Info::Unknown { payload, .. }) if payload.len() + 2 == length)
        );
    }
}

// O9
#[test]
fn meta_context_header_out_of_bounds() {
    let expected = Expected::Between(5, 4 + 4096);
    for length in [0, 4, 4101, u32::MAX] {
        assert_eq!(header(ReplyType::META_CONTEXT, length), wrong(Message::MetaContext, expected, u64::from(length)));
    }
    assert_eq!(header(ReplyType::META_CONTEXT, 5), Ok(()));
    assert_eq!(header(ReplyType::META_CONTEXT, 4100), Ok(()));
}

// O9
#[test]
fn meta_context_with_an_empty_name() {
    let error = wrong(Message::MetaContext, Expected::AtLeast(5), 4);
    assert_eq!(OptionReply::parse(ReplyType::META_CONTEXT, &octets("00000001")), error);
}

// O9
#[test]
fn meta_context_too_short_for_an_id() {
    let error = wrong(Message::MetaContext, Expected::AtLeast(5), 3);
    assert_eq!(OptionReply::parse(ReplyType::META_CONTEXT, &octets("000000")), error);
}

// R2
#[test]
fn error_reply_header_with_an_over_long_message() {
    let expected = Expected::Between(0, 4096);
    for reply in [ReplyType::ERR_UNSUP, ReplyType::ERR_SHUTDOWN, ReplyType(0x8000_0000), ReplyType(0xffff_ffff)] {
        assert_eq!(header(reply, 4097), wrong(Message::ErrorReply, expected, 4097));
        assert_eq!(header(reply, u32::MAX), wrong(Message::ErrorReply, expected, 0xffff_ffff));
        assert_eq!(header(reply, 4096), Ok(()));
        assert_eq!(header(reply, 0), Ok(()));
    }
}

// R7
#[test]
fn an_unknown_reply_is_left_to_who_knows_the_option() {
    assert_eq!(header(ReplyType(0x7fff_ffff), u32::MAX), Ok(()));
    assert_eq!(header(ReplyType(0), u32::MAX), Ok(()));
}

#[test]
fn options_without_a_payload() {
    for option in [OptionCode::LIST, OptionCode::STARTTLS, OptionCode::STRUCTURED_REPLY, OptionCode::EXTENDED_HEADERS] {
        assert_eq!(OptionRequest::parse(option, b"\0"), wrong(Message::OptionRequest, Expected::Exactly(0), 1));
    }
}

#[track_caller]
fn cut_option(option: OptionCode, payload: &str, field: Field, length: u64, room: u64) {
    let error = InvalidMessage::InnerLength { field, length, room };
    assert_eq!(OptionRequest::parse(option, &octets(payload)), Err(error));
}

#[test]
fn info_request_without_the_length_of_its_name() {
    cut_option(OptionCode::GO, "000000", Field::ExportName, 4, 3);
    cut_option(OptionCode::INFO, "", Field::ExportName, 4, 0);
}

#[test]
fn info_request_without_its_number_of_requests() {
    cut_option(OptionCode::GO, "00000001 'a' 00", Field::InfoRequests, 2, 1);
    cut_option(OptionCode::INFO, "00000001 'a'", Field::InfoRequests, 2, 0);
}

#[test]
fn info_request_with_bytes_behind() {
    let error = InvalidMessage::TrailingBytes { message: Message::OptionRequest, extra: 1 };
    for option in [OptionCode::INFO, OptionCode::GO] {
        assert_eq!(OptionRequest::parse(option, &octets("00000001 'a' 0001 0003 00")), Err(error.clone()));
        assert_eq!(OptionRequest::parse(option, &octets("00000000 0000 00")), Err(error.clone()));
    }
}

#[test]
fn meta_context_request_without_its_number_of_queries() {
    cut_option(OptionCode::SET_META_CONTEXT, "00000001 'a' 000000", Field::Queries, 4, 3);
}

#[test]
fn meta_context_request_without_the_length_of_a_query() {
    cut_option(OptionCode::SET_META_CONTEXT, "00000001 'a' 00000001 000000", Field::Query, 4, 3);
}

#[test]
fn meta_context_request_with_bytes_behind() {
    let error = InvalidMessage::TrailingBytes { message: Message::OptionRequest, extra: 2 };
    for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
        let payload = octets("00000001 'a' 00000001 00000002 'q:' 0000");
        assert_eq!(OptionRequest::parse(option, &payload), Err(error.clone()));
    }
}

#[test]
fn block_status_request_payload() {
    for got in [0, 7, 9, 10, 11, 13] {
        let error = wrong(Message::BlockStatusPayload, Expected::Multiple { base: 8, of: 4 }, got);
        assert_eq!(BlockStatusPayload::parse(&vec![0; got as usize]), error);
    }
}

#[test]
fn none_chunk() {
    let error = wrong(Message::NoneChunk, Expected::Exactly(0), 1);
    assert_eq!(Chunk::parse(ChunkType::NONE, b"\0"), error);
}

#[test]
fn offset_data_without_data() {
    for got in [0, 7, 8] {
        let error = wrong(Message::OffsetData, Expected::AtLeast(9), got);
        assert_eq!(Chunk::parse(ChunkType::OFFSET_DATA, &vec![0; got as usize]), error);
    }
}

#[test]
fn offset_hole() {
    for got in [0, 8, 11, 13, 16] {
        let error = wrong(Message::OffsetHole, Expected::Exactly(12), got);
        assert_eq!(Chunk::parse(ChunkType::OFFSET_HOLE, &vec![1; got as usize]), error);
    }
}

#[test]
fn block_status_of_32_bits() {
    for got in [0, 3, 4, 5, 8, 11, 13] {
        let error = wrong(Message::BlockStatus, Expected::PositiveMultiple { base: 4, of: 8 }, got);
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS, &vec![1; got as usize]), error);
    }
}

#[test]
fn block_status_of_64_bits() {
    for got in [0, 7, 8, 9, 16, 23, 25] {
        let error = wrong(Message::BlockStatus, Expected::PositiveMultiple { base: 8, of: 16 }, got);
        assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS_EXT, &vec![1; got as usize]), error);
    }
}

#[test]
fn too_many_extents_told_by_the_length_alone() {
    for (width, base, of) in [(Width::Bits32, 4, 8), (Width::Bits64, 8, 16)] {
        let most = base + of * (1 << 20);
        let expected = Expected::Between(base + of, most);
        assert_eq!(width.count(most), Ok(MAX_EXTENTS));
        assert_eq!(width.count(most + of), wrong(Message::BlockStatus, expected, most + of));
        // The largest whole number of descriptors that a 64-bit length can tell.
        let largest = u64::MAX - (u64::MAX - base) % of;
        assert_eq!(width.count(largest), wrong(Message::BlockStatus, expected, largest));
    }
}

#[test]
fn too_many_extents_in_a_chunk() {
    let mut payload = [octets("00000001"), octets("00000200 00000000").repeat(1 << 20)].concat();
    assert!(Chunk::parse(ChunkType::BLOCK_STATUS, &payload).is_ok());
    payload.extend(octets("00000200 00000000"));
    let expected = Expected::Between(12, 4 + (8 << 20));
    let error = wrong(Message::BlockStatus, expected, 12 + (8 << 20));
    assert_eq!(Chunk::parse(ChunkType::BLOCK_STATUS, &payload), error);
}

#[test]
fn error_chunks_too_short_or_too_long() {
    for (chunk, least, most) in [
        (ChunkType::ERROR, 6, 6 + 4096),
        (ChunkType::ERROR_OFFSET, 14, 14 + 4096),
        (ChunkType(0x8003), 6, 6 + 2 * 4096),
        (ChunkType(0xffff), 6, 6 + 2 * 4096),
    ] {
        let expected = Expected::Between(least, most);
        for got in [0, least - 1, most + 1] {
            assert_eq!(Chunk::parse(chunk, &vec![0; got as usize]), wrong(Message::ErrorChunk, expected, got));
        }
        assert_eq!(ErrorChunk::check_length(chunk, u64::MAX), wrong(Message::ErrorChunk, expected, u64::MAX));
        assert_eq!(ErrorChunk::check_length(chunk, least), Ok(()));
        assert_eq!(ErrorChunk::check_length(chunk, most), Ok(()));
    }
}

#[test]
fn error_message_longer_than_its_chunk() {
    let wrong = |length, room| Err(InvalidMessage::InnerLength { field: Field::ErrorMessage, length, room });
    assert_eq!(Chunk::parse(ChunkType::ERROR, &octets("00000005 0001")), wrong(1, 0));
    // The offset behind the message is not room for it.
    assert_eq!(Chunk::parse(ChunkType::ERROR_OFFSET, &octets("00000005 0001 0000000000001000")), wrong(1, 0));
    assert_eq!(Chunk::parse(ChunkType(0x8777), &octets("00000005 0003 'ab'")), wrong(3, 2));
}

#[test]
fn error_chunk_with_bytes_behind() {
    let error = InvalidMessage::TrailingBytes { message: Message::ErrorChunk, extra: 1 };
    assert_eq!(Chunk::parse(ChunkType::ERROR, &octets("00000005 0001 'a' 00")), Err(error.clone()));
    let golden = octets("00000005 0001 'a' 0000000000001000 00");
    assert_eq!(Chunk::parse(ChunkType::ERROR_OFFSET, &golden), Err(error));
}

#[test]
fn a_rule_holds_for_the_lengths_it_names_and_for_no_other() {
    for (rule, words, lengths) in [
        (Expected::Exactly(8), "exactly 8", &[8][..]),
        (Expected::AtLeast(18), "at least 18", &[18, 19, 20]),
        (Expected::Between(3, 5), "3 to 5", &[3, 4, 5]),
        (Expected::Multiple { base: 4, of: 8 }, "4 and a multiple of 8", &[4, 12, 20]),
        (Expected::PositiveMultiple { base: 4, of: 8 }, "4 and a positive multiple of 8", &[12, 20]),
    ] {
        assert_eq!(rule.to_string(), words);
        assert_eq!((0..=20).filter(|length| rule.holds(*length)).collect::<Vec<u64>>(), lengths, "{words}");
    }
}
