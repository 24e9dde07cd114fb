//! Option requests, each with its payload.

use nbd_proto::error::{Field, InvalidMessage, Message};
use nbd_proto::wire::number::{InfoType, OptionCode};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionHeader, OptionRequest};

use crate::octets::octets;
use crate::{emitted, payload, streamed};

/// `cuts`: the lengths at which a prefix of the payload is a sound payload too.
#[track_caller]
fn request(golden: &str, value: &OptionRequest<'static>, cuts: impl IntoIterator<Item = usize>) {
    // Requests can only be compared where they borrow for equally long.
    let golden: &'static [u8] = octets(golden).leak();
    let (header, rest) = golden.split_at(OptionHeader::LENGTH);
    let expected = OptionHeader { option: value.option(), length: rest.len() as u32 };
    streamed(header, &expected, OptionHeader::parse, OptionHeader::emit);
    payload(rest, value, cuts, |bytes| OptionRequest::parse(value.option(), bytes));
    assert_eq!(value.payload_length(), rest.len());
    emitted(golden, |out| value.emit(out));
}

fn info<'a>(export: &'a str, requests: &[InfoType]) -> InfoRequest<'a> {
    InfoRequest { export, requests: requests.into() }
}

fn contexts<'a>(export: &'a str, queries: &[&'a str]) -> MetaContextRequest<'a> {
    MetaContextRequest { export, queries: queries.into() }
}

// R0 O8
#[test]
fn export_name() {
    request("'IHAVEOPT' 00000001 00000008 'export-1'", &OptionRequest::ExportName("export-1"), 0..8);
    request("49484156454f5054 00000001 00000000", &OptionRequest::ExportName(""), []);
    request("'IHAVEOPT' 00000001 00000003 'a' c3a9", &OptionRequest::ExportName("aé"), [0, 1]);
}

// R5
#[test]
fn abort() {
    request("'IHAVEOPT' 00000002 00000000", &OptionRequest::Abort, []);
}

#[test]
fn abort_may_carry_anything() {
    assert_eq!(OptionRequest::parse(OptionCode::ABORT, b"bye"), Ok(OptionRequest::Abort));
}

// O1
#[test]
fn list() {
    request("'IHAVEOPT' 00000003 00000000", &OptionRequest::List, []);
}

// H7
#[test]
fn starttls() {
    request("'IHAVEOPT' 00000005 00000000", &OptionRequest::StartTls, []);
}

// O2
#[test]
fn info_with_and_without_requests() {
    let requests = [InfoType::EXPORT, InfoType::BLOCK_SIZE];
    request(
        "'IHAVEOPT' 00000006 0000000d 00000003 'abc' 0002 0000 0003",
        &OptionRequest::Info(info("abc", &requests)),
        [],
    );
    request("'IHAVEOPT' 00000006 00000009 00000003 'abc' 0000", &OptionRequest::Info(info("abc", &[])), []);
}

// O2
#[test]
fn go_with_every_request_and_an_unknown_one() {
    let requests = [InfoType::NAME, InfoType::DESCRIPTION, InfoType::BLOCK_SIZE, InfoType::EXPORT, InfoType(0x8001)];
    request(
        "'IHAVEOPT' 00000007 00000012 00000002 c3a9 0005 0001 0002 0003 0000 8001",
        &OptionRequest::Go(info("é", &requests)),
        [],
    );
    request("'IHAVEOPT' 00000007 00000006 00000000 0000", &OptionRequest::Go(info("", &[])), []);
}

// H8
#[test]
fn structured_reply() {
    request("'IHAVEOPT' 00000008 00000000", &OptionRequest::StructuredReply, []);
}

// O10
#[test]
fn list_meta_context() {
    request(
        "'IHAVEOPT' 00000009 0000000b 00000003 'abc' 00000000",
        &OptionRequest::ListMetaContext(contexts("abc", &[])),
        [],
    );
    request(
        "'IHAVEOPT' 00000009 00000011 00000000 00000001 00000005 'qemu:'",
        &OptionRequest::ListMetaContext(contexts("", &["qemu:"])),
        [],
    );
}

// O9
#[test]
fn set_meta_context() {
    request(
        "'IHAVEOPT' 0000000a 00000036 00000003 'abc' 00000002 0000000f 'base:allocation' \
         00000014 'qemu:dirty-bitmap:b0'",
        &OptionRequest::SetMetaContext(contexts("abc", &["base:allocation", "qemu:dirty-bitmap:b0"])),
        [],
    );
    request("'IHAVEOPT' 0000000a 00000008 00000000 00000000", &OptionRequest::SetMetaContext(contexts("", &[])), []);
}

#[test]
fn extended_headers() {
    request("'IHAVEOPT' 0000000b 00000000", &OptionRequest::ExtendedHeaders, []);
}

#[test]
fn unknown_options_are_kept() {
    let unknown = OptionRequest::Unknown { option: OptionCode(0x8000_002a), payload: b"xyz" };
    request("'IHAVEOPT' 8000002a 00000003 'xyz'", &unknown, 0..3);
    let withdrawn = OptionRequest::Unknown { option: OptionCode::PEEK_EXPORT, payload: b"" };
    request("'IHAVEOPT' 00000004 00000000", &withdrawn, []);
}

#[test]
fn option_header_takes_any_length() {
    let header = OptionHeader { option: OptionCode::GO, length: u32::MAX };
    streamed(&octets("'IHAVEOPT' 00000007 ffffffff"), &header, OptionHeader::parse, OptionHeader::emit);
}

mod wrong_inner_lengths {
    use super::{Field, InvalidMessage, Message, OptionCode, OptionRequest, octets};
    use crate::patched;

    #[track_caller]
    fn expect(option: OptionCode, golden: &str, at: usize, with: &[u8], error: &InvalidMessage) {
        let golden = octets(golden);
        assert!(OptionRequest::parse(option, &golden).is_ok());
        assert_eq!(OptionRequest::parse(option, &patched(&golden, at, with)).as_ref(), Err(error));
    }

    fn inner(field: Field, length: u64, room: u64) -> InvalidMessage {
        InvalidMessage::InnerLength { field, length, room }
    }

    fn trailing(extra: u64) -> InvalidMessage {
        InvalidMessage::TrailingBytes { message: Message::OptionRequest, extra }
    }

    const MAX: u64 = 0xffff_ffff;
    const INFO: &str = "00000003 'abc' 0002 0000 0003";
    const CONTEXTS: &str = "00000003 'abc' 00000002 0000000f 'base:allocation' 00000014 'qemu:dirty-bitmap:b0'";

    #[test]
    fn name_of_info_and_go() {
        for option in [OptionCode::INFO, OptionCode::GO] {
            // The count is then read from "ab".
            expect(option, INFO, 0, &[0, 0, 0, 0], &inner(Field::InfoRequests, 0x6162 * 2, 7));
            // The name is then "abc\0".
            expect(option, INFO, 0, &[0, 0, 0, 4], &InvalidMessage::HasNul { field: Field::ExportName });
            // The count is then read from "c\0".
            expect(option, INFO, 0, &[0, 0, 0, 2], &inner(Field::InfoRequests, 0x6300 * 2, 5));
            expect(option, INFO, 0, &[0xff; 4], &inner(Field::ExportName, MAX, 9));
        }
    }

    #[test]
    fn number_of_information_requests() {
        for option in [OptionCode::INFO, OptionCode::GO] {
            expect(option, INFO, 7, &[0, 0], &trailing(4));
            expect(option, INFO, 7, &[0, 3], &inner(Field::InfoRequests, 6, 4));
            expect(option, INFO, 7, &[0, 1], &trailing(2));
            expect(option, INFO, 7, &[0xff; 2], &inner(Field::InfoRequests, 0xffff * 2, 4));
        }
    }

    #[test]
    fn export_name_of_meta_contexts() {
        for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
            // The number of queries is then "abc\0", and the first length begins inside the real number.
            expect(option, CONTEXTS, 0, &[0, 0, 0, 0], &inner(Field::Query, 0x0000_0200, 42));
            expect(option, CONTEXTS, 0, &[0, 0, 0, 4], &InvalidMessage::HasNul { field: Field::ExportName });
            expect(option, CONTEXTS, 0, &[0, 0, 0, 2], &inner(Field::Query, 0x0200_0000, 40));
            expect(option, CONTEXTS, 0, &[0xff; 4], &inner(Field::ExportName, MAX, 50));
        }
    }

    #[test]
    fn number_of_queries() {
        for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
            expect(option, CONTEXTS, 7, &[0, 0, 0, 0], &trailing(43));
            expect(option, CONTEXTS, 7, &[0, 0, 0, 3], &inner(Field::Query, 4, 0));
            expect(option, CONTEXTS, 7, &[0, 0, 0, 1], &trailing(24));
            expect(option, CONTEXTS, 7, &[0xff; 4], &inner(Field::Query, 4, 0));
        }
    }

    #[test]
    fn first_query() {
        for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
            // The length of the second query is then read from "base".
            expect(option, CONTEXTS, 11, &[0, 0, 0, 0], &inner(Field::Query, 0x6261_7365, 35));
            expect(option, CONTEXTS, 11, &[0, 0, 0, 16], &InvalidMessage::HasNul { field: Field::Query });
            expect(option, CONTEXTS, 11, &[0, 0, 0, 14], &inner(Field::Query, 0x6e00_0000, 21));
            expect(option, CONTEXTS, 11, &[0xff; 4], &inner(Field::Query, MAX, 39));
        }
    }

    #[test]
    fn last_query() {
        for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
            expect(option, CONTEXTS, 30, &[0, 0, 0, 0], &trailing(20));
            expect(option, CONTEXTS, 30, &[0, 0, 0, 21], &inner(Field::Query, 21, 20));
            expect(option, CONTEXTS, 30, &[0, 0, 0, 19], &trailing(1));
            expect(option, CONTEXTS, 30, &[0xff; 4], &inner(Field::Query, MAX, 20));
        }
    }
}
