//! `EXPORT_NAME`, where it fails: all a server can do is to hang up.

use nbd_proto::error::{Field, InvalidMessage, PeerMisbehaved, Refused, Unavailable};
use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes;
use crate::session::Session;

#[test]
fn whoever_is_refused_is_turned_away() {
    let mut session = Session::fixed();
    session.ask(&OptionRequest::ExportName("disk"));
    session.refuse(ReplyType::ERR_UNKNOWN, "no such export").unwrap();
    assert_eq!(session.sent(), b"", "there is no way to say so");
    let (name, message) = ("disk".to_owned(), "no such export".to_owned());
    session.ends_with(Unavailable::TurnedAway { name, reply: ReplyType::ERR_UNKNOWN, message });
}

#[test]
fn an_oldstyle_client_is_turned_away_ungreeted() {
    let mut session = Session::new(ServerHandshakeSettings::default().with_style(HandshakeStyle::Oldstyle));
    assert!(session.send(b"").is_some());
    session.refuse(ReplyType::ERR_POLICY, "").unwrap();
    assert_eq!(session.sent(), b"");
    let (name, message) = (String::new(), String::new());
    session.ends_with(Unavailable::TurnedAway { name, reply: ReplyType::ERR_POLICY, message });
}

#[test]
fn a_success_is_no_refusal() {
    let mut session = Session::fixed();
    session.ask(&OptionRequest::ExportName("disk"));
    let reason = "a refusal needs a reply type with the error bit";
    assert_eq!(session.refuse(ReplyType::ACK, ""), Err(Refused::Answer { reason }));
}

#[test]
fn extended_headers_rule_it_out() {
    // By the header alone.
    let header = bytes::header(OptionCode::EXPORT_NAME, 4);
    Session::extended().fails(&header, PeerMisbehaved::ExportNameWithExtendedHeaders);
}

#[test]
fn a_name_that_is_too_long_ends_the_session_before_it_has_come() {
    for length in [4097, 20_000, u32::MAX] {
        let error = InvalidMessage::StringTooLong { field: Field::ExportName, length: u64::from(length) };
        Session::fixed().fails(&bytes::header(OptionCode::EXPORT_NAME, length), error);
    }
}

#[test]
fn a_name_that_is_none_ends_the_session() {
    let not_utf8 = InvalidMessage::NotUtf8 { field: Field::ExportName };
    Session::fixed().fails(&bytes::raw(OptionCode::EXPORT_NAME, &[0xff]), not_utf8);
    let has_nul = InvalidMessage::HasNul { field: Field::ExportName };
    Session::fixed().fails(&bytes::raw(OptionCode::EXPORT_NAME, b"a\0"), has_nul);
}
