//! A server that requires TLS; and clients and styles that cannot have it.

use nbd_proto::error::{TlsUnavailable, Unavailable};
use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings, ServerStatus, ServerTls};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go, info};
use crate::session::{Session, plain};
use crate::starttls::{switch, with_tls};

#[test]
fn in_clear_everything_else_is_answered_with_a_demand_for_tls() {
    let mut session = with_tls(ServerTls::Required);
    for option in [
        bytes::option(&OptionRequest::List),
        bytes::option(&info("disk", &[])),
        bytes::option(&go("disk", &[])),
        bytes::option(&OptionRequest::StructuredReply),
        bytes::option(&OptionRequest::ExtendedHeaders),
        bytes::raw(OptionCode::LIST, b"malformed"),
        bytes::raw(OptionCode::SET_META_CONTEXT, b""),
        bytes::raw(OptionCode(0x1234), b"unknown"),
        bytes::raw(OptionCode::GO, &vec![0; 100_000]),
    ] {
        assert_eq!(session.refused(&option), ReplyType::ERR_TLS_REQD);
    }
    switch(&mut session);
    session.offered(&go("disk", &[]), &plain());
}

#[test]
fn the_client_may_leave() {
    let mut session = with_tls(ServerTls::Required);
    assert_eq!(session.send(&bytes::option(&OptionRequest::Abort)), None);
    assert_eq!(session.sent(), bytes::ack(OptionCode::ABORT));
    assert_eq!(session.server.status(), ServerStatus::Closed);
}

#[test]
fn export_name_in_clear_is_turned_away() {
    let mut session = with_tls(ServerTls::Required);
    let (name, message) = ("disk".to_owned(), String::new());
    let error = Unavailable::TurnedAway { name, reply: ReplyType::ERR_TLS_REQD, message };
    assert_eq!(session.try_send(&bytes::option(&OptionRequest::ExportName("disk"))), Err(error.clone().into()));
    assert_eq!(session.sent(), b"");
    session.ends_with(error);
}

#[test]
fn inside_tls_export_name_is_fine() {
    let mut session = with_tls(ServerTls::Required);
    switch(&mut session);
    session.offered(&OptionRequest::ExportName("disk"), &plain());
    assert!(session.negotiated().tls);
}

#[test]
fn a_client_without_fixed_newstyle_has_no_tls() {
    for flags in [0, 2] {
        let mut session = Session::greeted(ServerHandshakeSettings::default().with_tls(ServerTls::Offered), flags);
        assert_eq!(session.refused(&bytes::option(&OptionRequest::StartTls)), ReplyType::ERR_UNSUP);
        session.offered(&go("", &[]), &plain());
        assert!(!session.negotiated().tls);
    }
}

#[test]
fn a_client_without_fixed_newstyle_cannot_be_served_where_tls_is_required() {
    for flags in [0, 2] {
        let mut session = Session::new(ServerHandshakeSettings::default().with_tls(ServerTls::Required));
        session.sent();
        session.fails(&bytes::client_flags(flags), Unavailable::Tls(TlsUnavailable::ClientNotFixed));
    }
}

#[test]
fn a_style_without_tls_serves_nobody_where_it_is_required() {
    for (style, why) in
        [(HandshakeStyle::Oldstyle, TlsUnavailable::Oldstyle), (HandshakeStyle::Newstyle, TlsUnavailable::NotFixed)]
    {
        let settings = ServerHandshakeSettings::default().with_style(style).with_tls(ServerTls::Required);
        let mut session = Session::new(settings);
        assert_eq!(session.sent(), b"");
        session.ends_with(Unavailable::Tls(why));
    }
}
