//! Bytes of any kind: they never make a parser panic, and where they parse, `emit` gives them back.
//!
//! There are two exceptions, bytes that are skipped and so come back as the specification wants them: the
//! reserved zeroes of an oldstyle greeting and of an `EXPORT_NAME` reply, and a payload of `ABORT`.

use nbd_proto::wire::chunk::{Chunk, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::ClientFlags;
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, OptionCode, ReplyType};
use nbd_proto::wire::option::{OptionHeader, OptionRequest};
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};
use nbd_proto::wire::reply::ReplyHeader;
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};
use nbd_proto::wire::{Parsed, magic};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::emitted;
use crate::strategies as any_of;

/// Bytes without any sense.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..64), vec(prop_oneof![Just(0), 0..8_u8, any::<u8>()], 0..200)]
}

/// A message with one byte changed, one cut off, one put in, or nothing done to it.
fn damaged(whole: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (whole, 0..4, any::<Index>(), any::<u8>()).prop_map(|(mut bytes, how, at, byte)| {
        match how {
            0 if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            1 => bytes.truncate(at.index(bytes.len() + 1)),
            2 => bytes.insert(at.index(bytes.len() + 1), byte),
            _ => {}
        }
        bytes
    })
}

/// A magic, then noise.
fn begun() -> impl Strategy<Value = Vec<u8>> {
    let eight = |magic: u64| magic.to_be_bytes().to_vec();
    let four = |magic: u32| magic.to_be_bytes().to_vec();
    let magic = prop_oneof![
        Just([eight(magic::NBDMAGIC), eight(magic::IHAVEOPT)].concat()),
        Just([eight(magic::NBDMAGIC), eight(magic::OLDSTYLE)].concat()),
        // With flags whose upper half is zero.
        Just([eight(magic::NBDMAGIC), eight(magic::OLDSTYLE), vec![0; 10]].concat()),
        Just(eight(magic::IHAVEOPT)),
        Just(eight(magic::OPTION_REPLY)),
        Just(four(magic::REQUEST)),
        Just(four(magic::EXTENDED_REQUEST)),
        Just(four(magic::SIMPLE_REPLY)),
        Just(four(magic::STRUCTURED_REPLY)),
        Just(four(magic::EXTENDED_REPLY)),
    ];
    (magic, prop_oneof![noise(), vec(any::<u8>(), 120..200)]).prop_map(|(magic, noise)| [magic, noise].concat())
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        noise(),
        begun(),
        damaged(any_of::greeting().prop_map(|value| emitted(|out| value.emit(out)))),
        damaged(any_of::option_request().prop_map(|value| emitted(|out| value.emit(out)))),
        damaged(
            (any_of::option_code(), any_of::option_reply())
                .prop_map(|(option, value)| emitted(|out| value.emit(option, out)))
        ),
        damaged(any_of::compact_request().prop_map(|value| emitted(|out| value.emit(out)))),
        damaged(any_of::extended_request().prop_map(|value| emitted(|out| value.emit(out)))),
        damaged(any_of::reply_header().prop_map(|value| emitted(|out| value.emit(out)))),
    ]
}

/// What a parser made of its input came from the first bytes of it, and they come back.
fn canonical<T>(input: &[u8], parsed: Parsed<T>, emit: impl FnOnce(&T, &mut Vec<u8>)) -> Result<(), TestCaseError> {
    if let Ok(Some((value, consumed))) = parsed {
        prop_assert_eq!(emitted(|out| emit(&value, out)), &input[..consumed]);
    }
    Ok(())
}

/// As [`canonical`], but for reserved zeroes behind the first `fixed` bytes.
fn canonical_but_zeroes<T>(
    input: &[u8],
    parsed: Parsed<T>,
    fixed: usize,
    emit: impl FnOnce(&T, &mut Vec<u8>),
) -> Result<(), TestCaseError> {
    if let Ok(Some((value, consumed))) = parsed {
        let bytes = emitted(|out| emit(&value, out));
        prop_assert_eq!(bytes.len(), consumed);
        let fixed = fixed.min(consumed);
        prop_assert_eq!(&bytes[..fixed], &input[..fixed]);
        prop_assert!(bytes[fixed..].iter().all(|byte| *byte == 0));
    }
    Ok(())
}

fn option_request(option: OptionCode, payload: &[u8]) -> Result<(), TestCaseError> {
    let Ok(request) = OptionRequest::parse(option, payload) else { return Ok(()) };
    prop_assert_eq!(request.option(), option);
    let bytes = emitted(|out| request.emit(out));
    let expected = if option == OptionCode::ABORT { b"" } else { payload };
    prop_assert_eq!(&bytes[OptionHeader::LENGTH..], expected);
    prop_assert_eq!(request.payload_length(), expected.len());
    Ok(())
}

fn option_reply(reply: ReplyType, payload: &[u8]) -> Result<(), TestCaseError> {
    let Ok(value) = OptionReply::parse(reply, payload) else { return Ok(()) };
    prop_assert_eq!(value.reply(), reply);
    let bytes = emitted(|out| value.emit(OptionCode::GO, out));
    prop_assert_eq!(&bytes[OptionReplyHeader::LENGTH..], payload);
    Ok(())
}

fn chunk(chunk: ChunkType, payload: &[u8]) -> Result<(), TestCaseError> {
    let Ok(value) = Chunk::parse(chunk, payload) else { return Ok(()) };
    prop_assert_eq!(value.chunk(), chunk);
    prop_assert_eq!(emitted(|out| value.emit(out)), payload);
    Ok(())
}

const OPTIONS: [OptionCode; 12] = [
    OptionCode::EXPORT_NAME,
    OptionCode::ABORT,
    OptionCode::LIST,
    OptionCode::PEEK_EXPORT,
    OptionCode::STARTTLS,
    OptionCode::INFO,
    OptionCode::GO,
    OptionCode::STRUCTURED_REPLY,
    OptionCode::LIST_META_CONTEXT,
    OptionCode::SET_META_CONTEXT,
    OptionCode::EXTENDED_HEADERS,
    OptionCode(0xffff_ffff),
];

const REPLIES: [ReplyType; 6] = [
    ReplyType::ACK,
    ReplyType::SERVER,
    ReplyType::INFO,
    ReplyType::META_CONTEXT,
    ReplyType::ERR_UNSUP,
    ReplyType(0x7fff_ffff),
];

const CHUNKS: [ChunkType; 9] = [
    ChunkType::NONE,
    ChunkType::OFFSET_DATA,
    ChunkType::OFFSET_HOLE,
    ChunkType::BLOCK_STATUS,
    ChunkType::BLOCK_STATUS_EXT,
    ChunkType::ERROR,
    ChunkType::ERROR_OFFSET,
    ChunkType(0x8777),
    ChunkType(0x7777),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn as_a_stream(input in streams(), no_zeroes: bool) {
        canonical_but_zeroes(&input, Greeting::parse(&input), 28, Greeting::emit)?;
        canonical(&input, Ok(ClientFlags::parse(&input)), ClientFlags::emit)?;
        let facts = Ok(ExportFacts::parse(&input, no_zeroes));
        canonical_but_zeroes(&input, facts, 10, |value, out| value.emit(no_zeroes, out))?;
        canonical(&input, OptionHeader::parse(&input), OptionHeader::emit)?;
        canonical(&input, OptionReplyHeader::parse(&input), OptionReplyHeader::emit)?;
        canonical(&input, CompactRequest::parse(&input), CompactRequest::emit)?;
        canonical(&input, ExtendedRequest::parse(&input), ExtendedRequest::emit)?;
        canonical(&input, ReplyHeader::parse(&input), ReplyHeader::emit)?;
    }

    #[test]
    fn as_any_payload(input in noise(), number: u32) {
        for option in OPTIONS.into_iter().chain([OptionCode(number)]) {
            option_request(option, &input)?;
        }
        for reply in REPLIES.into_iter().chain([ReplyType(number)]) {
            option_reply(reply, &input)?;
        }
        for kind in CHUNKS.into_iter().chain([ChunkType(number as u16)]) {
            chunk(kind, &input)?;
            let _ = ErrorChunk::parse(kind, &input);
            let _ = ErrorChunk::check_length(kind, u64::from(number));
        }
        if let Ok(info) = Info::parse(&input) {
            prop_assert_eq!(emitted(|out| info.emit(out)), &input[..]);
        }
        if let Ok(payload) = BlockStatusPayload::parse(&input) {
            prop_assert_eq!(emitted(|out| payload.emit(out)), &input[..]);
        }
        let _ = OffsetHole::parse(&input);
    }

    #[test]
    fn as_block_status_in_pieces(input in noise(), count: u32, length: u64) {
        for width in [Width::Bits32, Width::Bits64] {
            prop_assert_eq!(matches!(width.parse_prefix(&input, count), Ok(None)), input.len() < width.prefix());
            let extents = Descriptors::new(width, &input);
            let whole = input.len() / width.descriptor();
            prop_assert_eq!(extents.len(), whole);
            prop_assert_eq!(extents.count(), whole);
            if let Ok(count) = width.count(length) {
                let (prefix, descriptor) = (width.prefix() as u64, width.descriptor() as u64);
                prop_assert_eq!(prefix + u64::from(count) * descriptor, length);
            }
        }
    }

    #[test]
    fn as_a_damaged_option_request((option, input) in any_of::option_request().prop_flat_map(|value| {
        let payload = emitted(|out| value.emit(out)).split_off(OptionHeader::LENGTH);
        (Just(value.option()), damaged(Just(payload)))
    })) {
        option_request(option, &input)?;
    }

    #[test]
    fn as_a_damaged_option_reply((reply, input) in any_of::option_reply().prop_flat_map(|value| {
        let payload = emitted(|out| value.emit(OptionCode::GO, out)).split_off(OptionReplyHeader::LENGTH);
        (Just(value.reply()), damaged(Just(payload)))
    })) {
        option_reply(reply, &input)?;
    }

    #[test]
    fn as_a_damaged_chunk((kind, input) in any_of::chunk().prop_flat_map(|value| {
        (Just(value.chunk()), damaged(Just(emitted(|out| value.emit(out)))))
    })) {
        chunk(kind, &input)?;
    }

    #[test]
    fn as_a_damaged_block_status_request(input in damaged(
        any_of::block_status_payload().prop_map(|value| emitted(|out| value.emit(out)))
    )) {
        if let Ok(payload) = BlockStatusPayload::parse(&input) {
            prop_assert_eq!(emitted(|out| payload.emit(out)), input);
        }
    }

    #[test]
    fn a_payload_of_one_kind_under_the_name_of_another(
        value in any_of::chunk(), kind in any_of::chunk_type(),
        reply in any_of::option_reply(), name in any_of::reply_type(),
        request in any_of::option_request(), option in any_of::option_code(),
    ) {
        chunk(kind, &emitted(|out| value.emit(out)))?;
        let payload = emitted(|out| reply.emit(OptionCode::GO, out)).split_off(OptionReplyHeader::LENGTH);
        option_reply(name, &payload)?;
        let payload = emitted(|out| request.emit(out)).split_off(OptionHeader::LENGTH);
        option_request(option, &payload)?;
    }
}
