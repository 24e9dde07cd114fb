//! A server that is being shut down.

use nbd_proto::error::Unavailable;
use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings, ServerStatus, ServerTls};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go, info};
use crate::info::told;
use crate::session::{Session, plain};
use crate::starttls::with_tls;

fn shutting_down(mut session: Session) -> Session {
    session.server.begin_shutdown();
    session
}

#[test]
fn every_option_is_refused() {
    let mut session = shutting_down(with_tls(ServerTls::Offered));
    for option in [
        bytes::option(&OptionRequest::List),
        bytes::option(&OptionRequest::StartTls),
        bytes::option(&info("disk", &[])),
        bytes::option(&go("disk", &[])),
        bytes::option(&OptionRequest::StructuredReply),
        bytes::raw(OptionCode::LIST, b"malformed"),
        bytes::raw(OptionCode(0x1234), &vec![0; 50_000]),
    ] {
        assert_eq!(session.refused(&option), ReplyType::ERR_SHUTDOWN);
    }
}

#[test]
fn abort_is_acknowledged() {
    let mut session = shutting_down(Session::fixed());
    assert_eq!(session.send(&bytes::option(&OptionRequest::Abort)), None);
    assert_eq!(session.sent(), bytes::ack(OptionCode::ABORT));
    assert_eq!(session.server.status(), ServerStatus::Closed);
}

#[test]
fn export_name_and_oldstyle_clients_are_turned_away() {
    let error = |name: &str| Unavailable::TurnedAway {
        name: name.to_owned(),
        reply: ReplyType::ERR_SHUTDOWN,
        message: String::new(),
    };
    let session = shutting_down(Session::fixed());
    session.fails(&bytes::option(&OptionRequest::ExportName("disk")), error("disk"));
    let oldstyle = ServerHandshakeSettings::default().with_style(HandshakeStyle::Oldstyle);
    shutting_down(Session::new(oldstyle)).fails(b"", error(""));
}

#[test]
fn what_awaits_an_answer_can_be_answered() {
    let mut session = Session::fixed();
    session.ask(&go("disk", &[]));
    session.server.begin_shutdown();
    session.offer(&plain()).unwrap();
    assert_eq!(session.sent(), told(OptionCode::GO, &[]));
    session.negotiated();
}

#[test]
fn an_option_that_has_not_all_come_is_refused() {
    let mut session = Session::fixed();
    let option = bytes::option(&info("disk", &[]));
    let (first, second) = option.split_at(20);
    assert_eq!(session.send(first), None);
    session.server.begin_shutdown();
    assert_eq!(session.send(second), None);
    assert_eq!(session.sent()[12..16], ReplyType::ERR_SHUTDOWN.0.to_be_bytes());
}

#[test]
fn a_demand_for_tls_comes_first_where_it_is_required() {
    let mut session = shutting_down(with_tls(ServerTls::Required));
    assert_eq!(session.refused(&bytes::option(&OptionRequest::List)), ReplyType::ERR_TLS_REQD);
    assert_eq!(session.refused(&bytes::option(&OptionRequest::StartTls)), ReplyType::ERR_SHUTDOWN);
}
