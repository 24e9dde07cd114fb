//! The greeting, in each style, and the client's answer to it.

use nbd_proto::error::{InvalidMessage, Message, PeerMisbehaved, Refused};
use nbd_proto::handshake::{HandshakeStyle, ReplyStyle, ServerHandshakeSettings, ServerStatus};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes;
use crate::session::{Session, look_up, plain};

fn settings(style: HandshakeStyle, no_zeroes: bool) -> ServerHandshakeSettings {
    ServerHandshakeSettings::default().with_style(style).with_no_zeroes(no_zeroes)
}

#[test]
fn the_greeting_offers_what_the_settings_say() {
    for (style, no_zeroes, flags) in [
        (HandshakeStyle::FixedNewstyle, true, 3),
        (HandshakeStyle::FixedNewstyle, false, 1),
        (HandshakeStyle::Newstyle, true, 2),
        (HandshakeStyle::Newstyle, false, 0),
    ] {
        let mut session = Session::new(settings(style, no_zeroes));
        assert_eq!(session.sent(), [b"NBDMAGICIHAVEOPT", &[0, flags][..]].concat());
        assert_eq!(session.server.status(), ServerStatus::NeedInput);
    }
}

#[test]
fn a_client_may_leave_out_any_flag() {
    for flags in 0..4 {
        let mut session = Session::greeted(ServerHandshakeSettings::default(), flags);
        session.acknowledged(&OptionRequest::StructuredReply);
    }
}

#[test]
fn a_flag_that_was_not_offered_ends_the_session() {
    for (style, no_zeroes, offered, got) in [
        (HandshakeStyle::FixedNewstyle, true, 3, 4),
        (HandshakeStyle::FixedNewstyle, true, 3, 0x8000_0003),
        (HandshakeStyle::FixedNewstyle, false, 1, 2),
        (HandshakeStyle::Newstyle, true, 2, 1),
        (HandshakeStyle::Newstyle, false, 0, 1),
    ] {
        let mut session = Session::new(settings(style, no_zeroes));
        session.sent();
        session.fails(&bytes::client_flags(got), PeerMisbehaved::ClientFlags { got, offered });
    }
}

#[test]
fn bytes_that_are_no_option_end_the_session() {
    let got = u64::from_be_bytes(*b"IHAVENOT");
    Session::fixed().fails(b"IHAVENOT", InvalidMessage::Magic { message: Message::OptionRequest, got });
}

#[test]
fn an_oldstyle_client_is_looked_up_and_then_greeted() {
    let mut session = Session::new(settings(HandshakeStyle::Oldstyle, true));
    assert_eq!(session.sent(), b"");
    assert_eq!(session.server.status(), ServerStatus::NeedInput);
    assert_eq!(session.send(b""), Some(look_up(OptionCode::EXPORT_NAME, "")));
    assert_eq!(session.server.status(), ServerStatus::NeedAnswer);
    session.offer(&plain()).unwrap();
    let greeting = [b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53", &[0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 3][..], &[0; 124]];
    assert_eq!(session.sent(), greeting.concat());
    let negotiated = session.negotiated();
    assert_eq!(negotiated.handshake_style, HandshakeStyle::Oldstyle);
    assert_eq!(negotiated.reply_style, ReplyStyle::Simple);
    assert_eq!((negotiated.export.as_str(), negotiated.info.size), ("", 4096));
}

#[test]
fn what_an_oldstyle_client_sends_early_is_left_for_the_transmission_phase() {
    let mut session = Session::new(settings(HandshakeStyle::Oldstyle, true));
    assert_eq!(session.send(b"a request"), Some(look_up(OptionCode::EXPORT_NAME, "")));
    session.offer(&plain()).unwrap();
    assert_eq!(session.send(b""), None);
    assert_eq!(session.unread, b"a request");
}

#[test]
fn without_fixed_newstyle_only_export_name_is_legal() {
    for option in [OptionCode::LIST, OptionCode::ABORT, OptionCode::GO, OptionCode::STARTTLS, OptionCode(77)] {
        let session = Session::greeted(settings(HandshakeStyle::Newstyle, true), 2);
        session.fails(&bytes::raw(option, b""), PeerMisbehaved::OptionNotFixed { option });
    }
    let mut session = Session::greeted(settings(HandshakeStyle::Newstyle, true), 2);
    let event = session.ask(&OptionRequest::ExportName("disk"));
    assert_eq!(event, look_up(OptionCode::EXPORT_NAME, "disk"));
    session.offer(&plain()).unwrap();
    assert_eq!(session.negotiated().handshake_style, HandshakeStyle::Newstyle);
}

#[test]
fn tls_is_not_established_unless_it_was_agreed() {
    let mut session = Session::fixed();
    let refused = session.server.tls_established().unwrap_err();
    assert!(matches!(refused, Refused::Option { option: OptionCode::STARTTLS, .. }), "{refused}");
    session.acknowledged(&OptionRequest::StructuredReply);
}
