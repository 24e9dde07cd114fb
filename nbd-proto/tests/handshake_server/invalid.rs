//! Options that are malformed: each is answered with `ERR_INVALID`, nothing changes, and haggling goes on.

use nbd_proto::handshake::{ReplyStyle, ServerHandshakeSettings, ServerTls};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go};
use crate::session::{Session, plain};

#[track_caller]
fn is_invalid(option: OptionCode, payload: &[u8]) {
    let settings = ServerHandshakeSettings::default().with_tls(ServerTls::Offered);
    let mut session = Session::greeted(settings, 3);
    session.acknowledged(&OptionRequest::StructuredReply);
    assert_eq!(session.refused(&bytes::raw(option, payload)), ReplyType::ERR_INVALID);
    session.offered(&go("", &[]), &plain());
    assert_eq!(session.negotiated().reply_style, ReplyStyle::Structured);
}

#[test]
fn options_that_have_no_payload() {
    for option in [OptionCode::LIST, OptionCode::STARTTLS, OptionCode::STRUCTURED_REPLY, OptionCode::EXTENDED_HEADERS] {
        is_invalid(option, b"x");
        is_invalid(option, &[0; 16 * 1024 - 16]);
    }
}

#[test]
fn info_and_go() {
    for option in [OptionCode::INFO, OptionCode::GO] {
        is_invalid(option, b"");
        is_invalid(option, b"\0\0\0\x05disk\0\0");
        is_invalid(option, b"\xff\xff\xff\xffdisk\0\0");
        is_invalid(option, b"\0\0\0\x04disk");
        is_invalid(option, b"\0\0\0\x04disk\0\x01");
        is_invalid(option, b"\0\0\0\x04disk\0\0x");
        is_invalid(option, b"\0\0\0\x04d\xffsk\0\0");
        is_invalid(option, b"\0\0\0\x04d\0sk\0\0");
        is_invalid(option, &[b"\0\0\x10\x01", &[b'a'; 4097][..], b"\0\0"].concat());
    }
}

#[test]
fn list_and_set_meta_context() {
    for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
        is_invalid(option, b"");
        is_invalid(option, b"\0\0\0\x05disk\0\0\0");
        is_invalid(option, b"\0\0\0\x04disk");
        is_invalid(option, b"\0\0\0\x04disk\0\0\0\x01");
        is_invalid(option, b"\0\0\0\x04disk\0\0\0\x01\0\0\0\x03a:");
        is_invalid(option, b"\0\0\0\x04disk\xff\xff\xff\xff\0\0\0\x02a:");
        is_invalid(option, b"\0\0\0\x04disk\0\0\0\x01\0\0\0\x02a:x");
        is_invalid(option, b"\0\0\0\x04disk\0\0\0\x01\0\0\0\x03a:\xff");
        is_invalid(option, b"\0\0\0\x04disk\0\0\0\x01\0\0\0\x03a:\0");
    }
}

#[test]
fn queries_without_a_namespace() {
    for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
        is_invalid(option, b"\0\0\0\0\0\0\0\x01\0\0\0\0");
        is_invalid(option, b"\0\0\0\0\0\0\0\x01\0\0\0\x04base");
        is_invalid(option, b"\0\0\0\0\0\0\0\x01\0\0\0\x02:x");
        is_invalid(option, b"\0\0\0\0\0\0\0\x02\0\0\0\x02a:\0\0\0\x01:");
    }
}

#[test]
fn the_words_say_what_is_wrong_and_are_cut() {
    let query = "\u{1}".repeat(4096);
    let mut session = Session::structured();
    let answer = session.answered(&bytes::option(&bytes::list_contexts("", &[&query])));
    assert!(answer[20..].starts_with(b"the query \"\\u{1}\\u{1}"), "{answer:?}");
    assert_eq!(answer.len(), 20 + 4096);
}
