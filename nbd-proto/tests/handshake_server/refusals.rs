//! The caller refuses, and how far that goes.

use nbd_proto::error::Refused;
use nbd_proto::handshake::ServerStatus;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go, info};
use crate::session::{Session, plain};

#[test]
fn any_error_is_sent_as_it_is() {
    for reply in [ReplyType::ERR_POLICY, ReplyType::ERR_PLATFORM, ReplyType(0xffff_ffff)] {
        let mut session = Session::fixed();
        session.ask(&info("disk", &[]));
        session.refuse(reply, "words").unwrap();
        assert_eq!(session.sent(), bytes::error(OptionCode::INFO, reply, "words"));
        assert_eq!(session.server.status(), ServerStatus::NeedInput);
    }
}

#[test]
fn what_is_no_error_is_refused_and_the_answer_still_awaited() {
    let mut session = Session::fixed();
    session.ask(&info("disk", &[]));
    for reply in [ReplyType::ACK, ReplyType::INFO, ReplyType(0x7fff_ffff)] {
        let reason = "a refusal needs a reply type with the error bit";
        assert_eq!(session.refuse(reply, ""), Err(Refused::Answer { reason }));
    }
    assert_eq!(session.sent(), b"");
    session.offer(&plain()).unwrap();
}

#[test]
fn extended_headers_cannot_be_demanded_of_who_has_agreed_to_them() {
    let mut session = Session::extended();
    session.ask(&go("disk", &[]));
    let reason = "extended headers were agreed";
    assert_eq!(session.refuse(ReplyType::ERR_EXT_HEADER_REQD, ""), Err(Refused::Answer { reason }));
    assert_eq!(session.sent(), b"");
    session.offer(&plain()).unwrap();
}

#[test]
fn whoever_has_not_agreed_to_extended_headers_can_be_told_to() {
    let mut session = Session::structured();
    session.ask(&go("disk", &[]));
    session.refuse(ReplyType::ERR_EXT_HEADER_REQD, "words").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_EXT_HEADER_REQD, "words"));
}

#[test]
fn words_are_cut_between_two_characters() {
    let long = ["ab", &"\u{1f600}".repeat(2000)].concat();
    let mut session = Session::fixed();
    session.ask(&go("disk", &[]));
    session.refuse(ReplyType::ERR_UNKNOWN, &long).unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_UNKNOWN, &long[..4094]));
}

#[test]
fn words_are_cut_before_a_nul() {
    let mut session = Session::fixed();
    session.ask(&go("disk", &[]));
    session.refuse(ReplyType::ERR_UNKNOWN, "no\0such export").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_UNKNOWN, "no"));
}

#[test]
fn where_nothing_was_asked_nothing_can_be_answered() {
    let mut session = Session::fixed();
    let nothing = Err(Refused::Answer { reason: "no event awaits an answer" });
    assert_eq!(session.refuse(ReplyType::ERR_UNKNOWN, ""), nothing);
    assert_eq!(session.offer(&plain()), Err(Refused::Answer { reason: "no look-up awaits an answer" }));
    assert_eq!(session.list(&[]), Err(Refused::Answer { reason: "no list is awaited" }));
    assert_eq!(session.sent(), b"");
    session.offered(&go("disk", &[]), &plain());
    assert_eq!(session.refuse(ReplyType::ERR_UNKNOWN, ""), nothing, "it was answered");
    session.negotiated();
}

#[test]
fn a_look_up_is_no_list() {
    let mut session = Session::fixed();
    session.ask(&info("disk", &[]));
    assert_eq!(session.list(&[("a", "b")]), Err(Refused::Answer { reason: "no list is awaited" }));
    assert_eq!(session.sent(), b"");
    session.offer(&plain()).unwrap();
}

#[test]
fn while_an_answer_is_awaited_nothing_is_consumed() {
    let mut session = Session::fixed();
    session.ask(&info("disk", &[]));
    let next = bytes::option(&OptionRequest::StructuredReply);
    assert_eq!(session.send(&next), None);
    assert_eq!(session.unread, next);
    assert_eq!(session.server.status(), ServerStatus::NeedAnswer);
    assert_eq!(session.sent(), b"");
    session.offer(&plain()).unwrap();
    session.sent();
    assert_eq!(session.send(b""), None);
    assert_eq!(session.sent(), bytes::ack(OptionCode::STRUCTURED_REPLY));
}
