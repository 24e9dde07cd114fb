//! `EXPORT_NAME`, where it succeeds.

use nbd_proto::handshake::{HandshakeStyle, ReplyStyle, ServerHandshakeSettings, ServerStatus};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::set_contexts;
use crate::info::{SIZES, wordy};
use crate::session::{Session, look_up, plain};

const FACTS: [u8; 10] = [0, 0, 0, 0, 0, 0, 16, 0, 0, 3];

#[test]
fn the_zeroes_are_left_out_if_both_want_that() {
    for (style, no_zeroes, flags, zeroes) in [
        (HandshakeStyle::FixedNewstyle, true, 3, 0),
        (HandshakeStyle::FixedNewstyle, true, 1, 124),
        (HandshakeStyle::FixedNewstyle, false, 1, 124),
        (HandshakeStyle::Newstyle, true, 2, 0),
        (HandshakeStyle::Newstyle, false, 0, 124),
    ] {
        let settings = ServerHandshakeSettings::default().with_style(style).with_no_zeroes(no_zeroes);
        let mut session = Session::greeted(settings, flags);
        let event = session.ask(&OptionRequest::ExportName("disk"));
        assert_eq!(event, look_up(OptionCode::EXPORT_NAME, "disk"));
        session.offer(&plain()).unwrap();
        assert_eq!(session.sent(), [&FACTS[..], &vec![0; zeroes]].concat());
        assert_eq!(session.server.status(), ServerStatus::Ready);
        assert_eq!(session.negotiated().export, "disk");
    }
}

#[test]
fn the_result_has_no_words_that_could_not_be_told() {
    let mut session = Session::fixed();
    assert_eq!(session.offered(&OptionRequest::ExportName(""), &wordy()), FACTS);
    let info = session.negotiated().info;
    assert_eq!((info.canonical_name, info.description), (None, None));
    assert_eq!(info.block_sizes, Some(SIZES), "they are kept all the same");
}

#[test]
fn a_name_may_have_4096_bytes() {
    let name = "a".repeat(4096);
    let mut session = Session::fixed();
    assert_eq!(session.ask(&OptionRequest::ExportName(&name)), look_up(OptionCode::EXPORT_NAME, &name));
}

#[test]
fn structured_replies_and_contexts_go_with_it() {
    let mut session = Session::structured();
    let offer = plain().with_context("base:allocation");
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer);
    session.offered(&OptionRequest::ExportName("disk"), &offer);
    let negotiated = session.negotiated();
    assert_eq!(negotiated.reply_style, ReplyStyle::Structured);
    assert!(negotiated.info.flags.contains(TransmissionFlags::SEND_DF));
    assert!(negotiated.context("base:allocation").is_some());
}
