//! Strings: at most 4096 bytes (R2), and those that are names in UTF-8 without NUL.

use nbd_proto::error::{Field, InvalidMessage};
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::octets::octets;

/// A payload around a string, the parser it is for, and what errors call the string.
struct Place {
    field: Field,
    check: fn(&[u8]) -> Result<(), InvalidMessage>,
}

fn place(field: Field, check: fn(&[u8]) -> Result<(), InvalidMessage>) -> Place {
    Place { field, check }
}

fn with_length(string: &[u8]) -> Vec<u8> {
    [&(string.len() as u32).to_be_bytes(), string].concat()
}

fn option(option: OptionCode, payload: &[u8]) -> Result<(), InvalidMessage> {
    OptionRequest::parse(option, payload).map(drop)
}

fn reply(reply: ReplyType, payload: &[u8]) -> Result<(), InvalidMessage> {
    OptionReply::parse(reply, payload).map(drop)
}

fn info(number: &str, text: &[u8]) -> Result<(), InvalidMessage> {
    Info::parse(&[&octets(number), text].concat()).map(drop)
}

/// Every place of a name.
fn names() -> Vec<Place> {
    vec![
        place(Field::ExportName, |name| option(OptionCode::EXPORT_NAME, name)),
        place(Field::ExportName, |name| option(OptionCode::INFO, &[with_length(name), octets("0000")].concat())),
        place(Field::ExportName, |name| option(OptionCode::GO, &[with_length(name), octets("0000")].concat())),
        place(Field::ExportName, |name| {
            option(OptionCode::LIST_META_CONTEXT, &[with_length(name), octets("00000000")].concat())
        }),
        place(Field::ExportName, |name| {
            option(OptionCode::SET_META_CONTEXT, &[with_length(name), octets("00000000")].concat())
        }),
        place(Field::Query, |query| {
            option(OptionCode::LIST_META_CONTEXT, &[octets("00000000 00000001"), with_length(query)].concat())
        }),
        place(Field::Query, |query| {
            option(OptionCode::SET_META_CONTEXT, &[octets("00000000 00000001"), with_length(query)].concat())
        }),
        place(Field::ExportName, |name| reply(ReplyType::SERVER, &with_length(name))),
        place(Field::ExportName, |name| info("0001", name)),
        place(Field::ContextName, |name| reply(ReplyType::META_CONTEXT, &[&octets("00000001"), name].concat())),
    ]
}

/// Every place of a text that is only shown.
fn texts() -> Vec<Place> {
    vec![
        place(Field::Description, |text| reply(ReplyType::SERVER, &[&octets("00000001 'a'"), text].concat())),
        place(Field::Description, |text| info("0002", text)),
        place(Field::ErrorMessage, |text| reply(ReplyType::ERR_POLICY, text)),
        place(Field::ErrorMessage, |text| reply(ReplyType(0xffff_ffff), text)),
    ]
}

// R2 O1 O9
#[test]
fn strings_of_4096_bytes_pass_and_longer_ones_do_not() {
    for Place { field, check } in names().into_iter().chain(texts()) {
        assert_eq!(check(&[b'a'; 4096]), Ok(()), "{field}");
        assert_eq!(check(&[b'a'; 4097]), Err(InvalidMessage::StringTooLong { field, length: 4097 }), "{field}");
    }
}

// R2
#[test]
fn the_bound_is_on_bytes_not_on_characters() {
    for Place { field, check } in names() {
        assert_eq!(check("é".repeat(2048).as_bytes()), Ok(()), "{field}");
        let error = InvalidMessage::StringTooLong { field, length: 4098 };
        assert_eq!(check("é".repeat(2049).as_bytes()), Err(error), "{field}");
    }
}

#[test]
fn names_without_utf_8() {
    for Place { field, check } in names() {
        // A stray byte, a character cut short, a surrogate, and an over-long form.
        for name in [&b"a\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
            assert_eq!(check(name), Err(InvalidMessage::NotUtf8 { field }), "{field}");
        }
    }
}

#[test]
fn names_with_a_nul() {
    for Place { field, check } in names() {
        for name in [&b"\0"[..], b"a\0", b"\0a", b"a\0b"] {
            assert_eq!(check(name), Err(InvalidMessage::HasNul { field }), "{field}");
        }
    }
}

#[test]
fn texts_may_be_any_bytes() {
    for Place { field, check } in texts() {
        assert_eq!(check(b"a\xff\0\x1b[2J"), Ok(()), "{field}");
        assert_eq!(check(b""), Ok(()), "{field}");
    }
}

#[test]
fn error_chunk_messages_of_4096_bytes_pass() {
    let message = [octets("00000005 1000"), vec![b'a'; 4096]].concat();
    assert!(Chunk::parse(ChunkType::ERROR, &message).is_ok());
    assert!(Chunk::parse(ChunkType(0x8777), &message).is_ok());
    assert!(Chunk::parse(ChunkType::ERROR_OFFSET, &[message, vec![0; 8]].concat()).is_ok());
}

#[test]
fn over_long_message_in_an_error_chunk_of_unknown_type() {
    // The length of the chunk allows it, because nobody knows how much of it is message.
    let payload = [octets("00000005 1001"), vec![b'a'; 4097]].concat();
    let error = InvalidMessage::StringTooLong { field: Field::ErrorMessage, length: 4097 };
    assert_eq!(Chunk::parse(ChunkType(0x8777), &payload), Err(error));
}
