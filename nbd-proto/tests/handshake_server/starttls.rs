//! `STARTTLS`.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::{ReplyStyle, ServerHandshakeSettings, ServerStatus, ServerTls};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go, set_contexts};
use crate::session::{Session, plain};

pub(crate) fn with_tls(tls: ServerTls) -> Session {
    Session::greeted(ServerHandshakeSettings::default().with_tls(tls), 3)
}

/// The client switches to TLS.
#[track_caller]
pub(crate) fn switch(session: &mut Session) {
    assert_eq!(session.send(&bytes::option(&OptionRequest::StartTls)), None);
    assert_eq!(session.sent(), bytes::ack(OptionCode::STARTTLS));
    assert_eq!(session.server.status(), ServerStatus::SwitchToTls);
    assert!(!session.server.is_tls());
    session.server.tls_established().unwrap();
    assert!(session.server.is_tls());
    assert_eq!(session.server.status(), ServerStatus::NeedInput);
}

#[test]
fn it_switches() {
    for tls in [ServerTls::Offered, ServerTls::Required] {
        let mut session = with_tls(tls);
        switch(&mut session);
        session.offered(&go("", &[]), &plain());
        assert!(session.negotiated().tls);
    }
}

#[test]
fn nothing_is_consumed_before_tls_is_up() {
    let mut session = with_tls(ServerTls::Offered);
    session.send(&bytes::option(&OptionRequest::StartTls));
    assert_eq!(session.send(b""), None);
    assert_eq!(session.server.status(), ServerStatus::SwitchToTls);
}

#[test]
fn clear_text_behind_it_in_one_piece_ends_the_session() {
    for tls in [ServerTls::Offered, ServerTls::Required] {
        let pipelined = [bytes::option(&OptionRequest::StartTls), b"I".to_vec()].concat();
        with_tls(tls).fails(&pipelined, PeerMisbehaved::ClearTextBehindStartTls);
    }
}

/// A driver that looks at the status first may never hand the rest in.
#[test]
fn clear_text_behind_it_is_seen_in_the_very_call() {
    let pipelined = [bytes::option(&OptionRequest::StartTls), b"I".to_vec()].concat();
    let result = with_tls(ServerTls::Offered).server.input(&pipelined, &mut Vec::new());
    assert_eq!(result, Err(PeerMisbehaved::ClearTextBehindStartTls.into()));
}

#[test]
fn clear_text_behind_it_in_a_later_piece_ends_the_session() {
    let mut session = with_tls(ServerTls::Offered);
    session.send(&bytes::option(&OptionRequest::StartTls));
    session.fails(b"I", PeerMisbehaved::ClearTextBehindStartTls);
}

#[test]
fn what_is_sent_for_it_does_not_depend_on_how_it_comes() {
    let pipelined = [bytes::option(&OptionRequest::StartTls), b"I".to_vec()].concat();
    let mut session = with_tls(ServerTls::Offered);
    session.try_send(&pipelined).unwrap_err();
    assert_eq!(session.sent(), bytes::ack(OptionCode::STARTTLS));
    let mut session = with_tls(ServerTls::Offered);
    pipelined.iter().try_for_each(|byte| session.try_send(&[*byte]).map(drop)).unwrap_err();
    assert_eq!(session.sent(), bytes::ack(OptionCode::STARTTLS));
}

#[test]
fn all_that_was_agreed_in_clear_is_forgotten() {
    let mut session = with_tls(ServerTls::Offered);
    session.acknowledged(&OptionRequest::StructuredReply);
    let offer = plain().with_context("base:allocation");
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer);
    switch(&mut session);
    let again = bytes::option(&set_contexts("disk", &["base:allocation"]));
    assert_eq!(session.refused(&again), ReplyType::ERR_INVALID, "structured replies are to be agreed again");
    session.offered(&go("disk", &[]), &offer);
    let negotiated = session.negotiated();
    assert_eq!(negotiated.reply_style, ReplyStyle::Simple);
    assert_eq!(negotiated.contexts, []);
}

#[test]
fn contexts_that_were_set_in_clear_do_not_come_back() {
    let mut session = with_tls(ServerTls::Offered);
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    let offer = plain().with_context("base:allocation");
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer);
    switch(&mut session);
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    session.offered(&go("disk", &[]), &offer);
    assert_eq!(session.negotiated().contexts, []);
}

#[test]
fn export_name_can_be_used_again_after_extended_headers_in_clear() {
    let mut session = with_tls(ServerTls::Offered);
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    switch(&mut session);
    session.offered(&OptionRequest::ExportName("disk"), &plain());
    assert_eq!(session.negotiated().reply_style, ReplyStyle::Simple);
}

#[test]
fn a_second_one_is_invalid() {
    for tls in [ServerTls::Offered, ServerTls::Required] {
        let mut session = with_tls(tls);
        switch(&mut session);
        assert_eq!(session.refused(&bytes::option(&OptionRequest::StartTls)), ReplyType::ERR_INVALID);
        session.acknowledged(&OptionRequest::StructuredReply);
    }
}

#[test]
fn it_is_unknown_where_tls_is_off() {
    let mut session = with_tls(ServerTls::Off);
    assert_eq!(session.refused(&bytes::option(&OptionRequest::StartTls)), ReplyType::ERR_UNSUP);
    assert_eq!(session.refused(&bytes::raw(OptionCode::STARTTLS, b"x")), ReplyType::ERR_UNSUP);
}
