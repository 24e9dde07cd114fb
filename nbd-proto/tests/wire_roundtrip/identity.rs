//! parse ∘ emit = identity, for every wire type.
//!
//! Messages of the stream are also cut at an arbitrary place and followed by arbitrary bytes.

use nbd_proto::wire::Parsed;
use nbd_proto::wire::chunk::{Chunk, Descriptors, Width};
use nbd_proto::wire::flags::ClientFlags;
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::Info;
use nbd_proto::wire::option::{OptionHeader, OptionRequest};
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};
use nbd_proto::wire::reply::ReplyHeader;
use nbd_proto::wire::request::{BlockStatusPayload, CompactRequest, ExtendedRequest};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::emitted;
use crate::strategies as any_of;

/// The value comes back whole, not before the last byte, and bytes behind it do not matter.
fn streamed<T: std::fmt::Debug + PartialEq>(
    bytes: &[u8],
    value: &T,
    cut: Index,
    behind: &[u8],
    parse: impl Fn(&[u8]) -> Parsed<T>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(parse(&bytes[..cut.index(bytes.len())]), Ok(None));
    for input in [bytes, &[bytes, behind].concat()] {
        let (parsed, consumed) = parse(input).unwrap().expect("a whole message");
        prop_assert_eq!(&parsed, value);
        prop_assert_eq!(consumed, bytes.len());
    }
    Ok(())
}

fn behind() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..40)
}

proptest! {
    #[test]
    fn greeting(value in any_of::greeting(), cut: Index, behind in behind()) {
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, Greeting::parse)?;
    }

    #[test]
    fn client_flags(value in any_of::client_flags(), cut: Index, behind in behind()) {
        let parse = |input: &[u8]| Ok(ClientFlags::parse(input));
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, parse)?;
    }

    #[test]
    fn export_facts(value in any_of::export_facts(), no_zeroes: bool, cut: Index, behind in behind()) {
        let parse = |input: &[u8]| Ok(ExportFacts::parse(input, no_zeroes));
        streamed(&emitted(|out| value.emit(no_zeroes, out)), &value, cut, &behind, parse)?;
    }

    #[test]
    fn option_header(value in any_of::option_header(), cut: Index, behind in behind()) {
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, OptionHeader::parse)?;
    }

    #[test]
    fn option_request(value in any_of::option_request(), cut: Index) {
        // Requests can only be compared where they borrow for equally long.
        let bytes: &'static [u8] = emitted(|out| value.emit(out)).leak();
        let (header, payload) = bytes.split_at(OptionHeader::LENGTH);
        let expected = OptionHeader { option: value.option(), length: payload.len() as u32 };
        streamed(header, &expected, cut, payload, OptionHeader::parse)?;
        prop_assert_eq!(value.payload_length(), payload.len());
        prop_assert_eq!(OptionRequest::parse(value.option(), payload), Ok(value));
    }

    #[test]
    fn option_reply(option in any_of::option_code(), value in any_of::option_reply(), cut: Index) {
        let bytes = emitted(|out| value.emit(option, out));
        let (header, payload) = bytes.split_at(OptionReplyHeader::LENGTH);
        let expected = OptionReplyHeader { option, reply: value.reply(), length: payload.len() as u32 };
        streamed(header, &expected, cut, payload, OptionReplyHeader::parse)?;
        prop_assert_eq!(OptionReply::parse(value.reply(), payload), Ok(value));
    }

    #[test]
    fn info(value in any_of::info()) {
        let bytes = emitted(|out| value.emit(out));
        prop_assert_eq!(Info::parse(&bytes), Ok(value));
    }

    #[test]
    fn compact_request(value in any_of::compact_request(), cut: Index, behind in behind()) {
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, CompactRequest::parse)?;
    }

    #[test]
    fn extended_request(value in any_of::extended_request(), cut: Index, behind in behind()) {
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, ExtendedRequest::parse)?;
    }

    #[test]
    fn block_status_payload(value in any_of::block_status_payload()) {
        let bytes = emitted(|out| value.emit(out));
        prop_assert_eq!(value.length(), bytes.len());
        prop_assert_eq!(BlockStatusPayload::parse(&bytes), Ok(value));
    }

    #[test]
    fn reply_header(value in any_of::reply_header(), cut: Index, behind in behind()) {
        streamed(&emitted(|out| value.emit(out)), &value, cut, &behind, ReplyHeader::parse)?;
    }

    #[test]
    fn chunk(value in any_of::chunk()) {
        let bytes = emitted(|out| value.emit(out));
        prop_assert_eq!(Chunk::parse(value.chunk(), &bytes), Ok(value));
    }

    #[test]
    fn descriptor_of_32_bits(value in any_of::descriptor(Width::Bits32)) {
        let bytes = emitted(|out| value.emit(Width::Bits32, out));
        prop_assert!(Descriptors::new(Width::Bits32, &bytes).eq([value]));
    }

    #[test]
    fn descriptor_of_64_bits(value in any_of::descriptor(Width::Bits64)) {
        let bytes = emitted(|out| value.emit(Width::Bits64, out));
        prop_assert!(Descriptors::new(Width::Bits64, &bytes).eq([value]));
    }
}
