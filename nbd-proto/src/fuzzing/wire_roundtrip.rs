//! Any bytes against every parser of [`wire`](crate::wire).
//!
//! Invariants:
//!
//! - no input panics;
//! - what parses is emitted as the bytes that it was parsed from, and so parses again to the same value. Two exceptions,
//!   bytes that nobody looks at: the reserved zeroes of an oldstyle greeting and of an `EXPORT_NAME` reply, and a payload
//!   of `ABORT`;
//! - a parser of streams is monotone: what it says of a prefix, other than that it needs more, it says of all that goes
//!   on behind it, and it consumes no byte that it did not need;
//! - the lengths and counts of payloads agree with the bytes.
//!
//! The data: 4 bytes, the number of the option, option reply or chunk that the rest is taken for the payload of, beside
//! all that are known; the rest is what is parsed. A stream is parsed with those 4 bytes before it, too.

use alloc::vec::Vec;
use core::fmt::Debug;

use crate::wire::Parsed;
use crate::wire::chunk::{Chunk, Descriptors, ErrorChunk, OffsetHole, Width};
use crate::wire::flags::ClientFlags;
use crate::wire::greeting::{ExportFacts, Greeting};
use crate::wire::info::Info;
use crate::wire::number::{ChunkType, OptionCode, ReplyType};
use crate::wire::option::{OptionHeader, OptionRequest};
use crate::wire::option_reply::{OptionReply, OptionReplyHeader};
use crate::wire::reply::ReplyHeader;
use crate::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};

/// No message that is parsed from a stream is longer: an oldstyle greeting.
const LONGEST: usize = 28 + 124;

/// See the top of the module.
pub fn wire_roundtrip(data: &[u8]) {
    let Some((number, rest)) = data.split_first_chunk() else { return };
    let number = u32::from_be_bytes(*number);
    streams(data);
    streams(rest);
    for option in (1..=11).map(OptionCode).chain([OptionCode(number)]) {
        option_request(option, rest);
    }
    for reply in (1..=4).map(ReplyType).chain([ReplyType::ERR_UNSUP, ReplyType(number)]) {
        option_reply(reply, rest);
    }
    let known = [0, 1, 2, 5, 6, 0x8001, 0x8002, 0x8777].map(ChunkType);
    for kind in known.into_iter().chain([ChunkType(number as u16)]) {
        chunk(kind, rest);
    }
    block_status(number, rest);
    payloads(rest);
}

fn streams(input: &[u8]) {
    stream(input, LONGEST, 28, Greeting::parse, Greeting::emit);
    stream(input, 4, 4, |input| Ok(ClientFlags::parse(input)), ClientFlags::emit);
    for no_zeroes in [false, true] {
        let parse = |input: &[u8]| Ok(ExportFacts::parse(input, no_zeroes));
        stream(input, 10 + 124, 10, parse, |facts, out| facts.emit(no_zeroes, out));
    }
    stream(input, OptionHeader::LENGTH, usize::MAX, OptionHeader::parse, OptionHeader::emit);
    stream(input, OptionReplyHeader::LENGTH, usize::MAX, OptionReplyHeader::parse, OptionReplyHeader::emit);
    stream(input, CompactRequest::LENGTH, usize::MAX, CompactRequest::parse, CompactRequest::emit);
    stream(input, ExtendedRequest::LENGTH, usize::MAX, ExtendedRequest::parse, ExtendedRequest::emit);
    stream(input, ExtendedRequest::LENGTH, usize::MAX, ReplyHeader::parse, ReplyHeader::emit);
}

/// A message at the start of a stream: at most `longest` bytes, of which those behind the first `fixed` are reserved.
fn stream<T: Debug + PartialEq>(
    input: &[u8],
    longest: usize,
    fixed: usize,
    parse: impl Fn(&[u8]) -> Parsed<T>,
    emit: impl FnOnce(&T, &mut Vec<u8>),
) {
    let verdict = parse(input);
    let mut told = false;
    for end in 0..=input.len().min(longest + 1) {
        match parse(&input[..end]) {
            Ok(None) => assert!(!told, "what was told of a prefix of {end} bytes is taken back"),
            other => {
                assert_eq!(other, verdict, "another verdict on the first {end} bytes");
                if let (Ok(Some((_, consumed))), false) = (&verdict, told) {
                    assert_eq!(*consumed, end, "more bytes are needed than are consumed");
                }
                told = true;
            }
        }
    }
    assert_eq!(told, verdict != Ok(None), "a message is longer than {longest} bytes");
    if let Ok(Some((value, consumed))) = &verdict {
        let mut bytes = Vec::new();
        emit(value, &mut bytes);
        let fixed = fixed.min(*consumed);
        assert_eq!((bytes.len(), &bytes[..fixed]), (*consumed, &input[..fixed]), "{value:?} is emitted another way");
        assert!(bytes[fixed..].iter().all(|byte| *byte == 0), "reserved bytes are not zero");
        assert_eq!(parse(&bytes), verdict, "what is emitted parses to another value");
    }
}

fn option_request(option: OptionCode, payload: &[u8]) {
    let Ok(request) = OptionRequest::parse(option, payload) else { return };
    let mut bytes = Vec::new();
    request.emit(&mut bytes);
    let expected = if option == OptionCode::ABORT { b"" } else { payload };
    let header = OptionHeader { option, length: expected.len() as u32 };
    assert_eq!(request.option(), option);
    assert_eq!(request.payload_length(), expected.len());
    assert_eq!(OptionHeader::parse(&bytes), Ok(Some((header, OptionHeader::LENGTH))));
    assert_eq!(&bytes[OptionHeader::LENGTH..], expected, "{request:?} is emitted another way");
}

fn option_reply(reply: ReplyType, payload: &[u8]) {
    let Ok(value) = OptionReply::parse(reply, payload) else { return };
    let mut bytes = Vec::new();
    value.emit(OptionCode::GO, &mut bytes);
    assert_eq!(value.reply(), reply);
    assert_eq!(&bytes[OptionReplyHeader::LENGTH..], payload, "{value:?} is emitted another way");
    let header = OptionReplyHeader { option: OptionCode::GO, reply, length: payload.len() as u32 };
    // A payload that parses has a length that a header may tell.
    assert_eq!(OptionReplyHeader::parse(&bytes), Ok(Some((header, OptionReplyHeader::LENGTH))), "{value:?}");
}

fn chunk(kind: ChunkType, payload: &[u8]) {
    let length = payload.len() as u64;
    if kind.is_error() {
        let parsed = ErrorChunk::parse(kind, payload);
        assert!(parsed.is_err() || ErrorChunk::check_length(kind, length).is_ok());
    }
    let Ok(value) = Chunk::parse(kind, payload) else { return };
    let mut bytes = Vec::new();
    value.emit(&mut bytes);
    assert_eq!(value.chunk(), kind);
    assert_eq!(bytes, payload, "{value:?} is emitted another way");
    if let (Chunk::Error(error), Some(_)) = (&value, kind.name()) {
        assert!(error.rest.is_empty(), "something stands behind {error:?}");
        assert_eq!(error.offset.is_some(), kind == ChunkType::ERROR_OFFSET, "{error:?}");
    }
    if let Chunk::BlockStatus { context, extents } = value {
        let width = extents.width();
        let count = width.count(length);
        assert_eq!(count, Ok(extents.len() as u32));
        assert_eq!(width.parse_prefix(payload, extents.len() as u32), Ok(Some(context)));
        assert!(extents.clone().all(|extent| extent.length > 0), "an empty extent");
    }
}

fn block_status(number: u32, input: &[u8]) {
    for width in [Width::Bits32, Width::Bits64] {
        assert_eq!(matches!(width.parse_prefix(input, number), Ok(None)), input.len() < width.prefix());
        let extents = Descriptors::new(width, input);
        let mut bytes = Vec::new();
        for extent in extents.clone() {
            extent.emit(width, &mut bytes);
        }
        assert_eq!(bytes, &input[..extents.len() * width.descriptor()]);
        if let Ok(count) = width.count(number.into()) {
            assert_eq!((width.prefix() + count as usize * width.descriptor()) as u64, u64::from(number));
        }
    }
}

fn payloads(input: &[u8]) {
    let mut bytes = Vec::new();
    if let Ok(info) = Info::parse(input) {
        info.emit(&mut bytes);
        assert_eq!(bytes, input, "{info:?} is emitted another way");
    }
    bytes.clear();
    if let Ok(payload) = BlockStatusPayload::parse(input) {
        payload.emit(&mut bytes);
        assert_eq!((&bytes[..], payload.length()), (input, input.len()), "{payload:?} is emitted another way");
    }
    bytes.clear();
    if let Ok(hole) = OffsetHole::parse(input) {
        hole.emit(&mut bytes);
        assert_eq!(bytes, input, "{hole:?} is emitted another way");
    }
}
