//! An export that is to be had inside TLS only.

use nbd_proto::error::{Refused, Unavailable};
use nbd_proto::handshake::{HandshakeStyle, Offer, ServerHandshakeSettings, ServerTls};
use nbd_proto::wire::number::ReplyType;
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReplyHeader;

use crate::bytes::{go, info, list_contexts, set_contexts};
use crate::session::{Session, plain};
use crate::starttls::{switch, with_tls};

fn tls_only() -> Offer {
    plain().with_context("base:allocation").with_tls_required(true)
}

/// How it is refused in clear.
#[track_caller]
fn refused(tls: ServerTls, request: &OptionRequest<'_>) -> ReplyType {
    let mut session = with_tls(tls);
    session.acknowledged(&OptionRequest::StructuredReply);
    let answer = session.offered(request, &tls_only());
    let (header, prefix) = OptionReplyHeader::parse(&answer).unwrap().unwrap();
    assert_eq!(header.option, request.option());
    assert_eq!(answer.len(), prefix + header.length as usize, "one answer");
    assert!(header.length > 0, "no words");
    session.acknowledged(&OptionRequest::StructuredReply);
    header.reply
}

#[test]
fn info_and_go_say_so_where_tls_is_offered() {
    assert_eq!(refused(ServerTls::Offered, &info("disk", &[])), ReplyType::ERR_TLS_REQD);
    assert_eq!(refused(ServerTls::Offered, &go("disk", &[])), ReplyType::ERR_TLS_REQD);
}

#[test]
fn its_contexts_are_unknown_where_tls_is_offered() {
    assert_eq!(refused(ServerTls::Offered, &list_contexts("disk", &[])), ReplyType::ERR_UNKNOWN);
    assert_eq!(refused(ServerTls::Offered, &set_contexts("disk", &["base:allocation"])), ReplyType::ERR_UNKNOWN);
}

#[test]
fn policy_forbids_it_where_there_is_no_tls() {
    for request in [info("disk", &[]), go("disk", &[]), list_contexts("disk", &[]), set_contexts("disk", &[])] {
        assert_eq!(refused(ServerTls::Off, &request), ReplyType::ERR_POLICY);
    }
}

#[test]
fn export_name_is_turned_away() {
    for (tls, expected) in [(ServerTls::Offered, ReplyType::ERR_TLS_REQD), (ServerTls::Off, ReplyType::ERR_POLICY)] {
        let mut session = with_tls(tls);
        assert_eq!(session.offered(&OptionRequest::ExportName("disk"), &tls_only()), b"");
        match session.try_send(b"").unwrap_err() {
            nbd_proto::error::Error::Unavailable(Unavailable::TurnedAway { name, reply, .. }) => {
                assert_eq!((name.as_str(), reply), ("disk", expected));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_oldstyle_client_is_turned_away() {
    let mut session = Session::new(ServerHandshakeSettings::default().with_style(HandshakeStyle::Oldstyle));
    session.send(b"");
    session.offer(&tls_only()).unwrap();
    assert_eq!(session.sent(), b"");
    let error = session.try_send(b"").unwrap_err();
    let reply = ReplyType::ERR_POLICY;
    assert!(
        matches!(&error, nbd_proto::error::Error::Unavailable(Unavailable::TurnedAway { reply: it, .. }) if *it == reply),
        "{error}"
    );
}

#[test]
fn inside_tls_it_is_as_any_other() {
    for tls in [ServerTls::Offered, ServerTls::Required] {
        let mut session = with_tls(tls);
        switch(&mut session);
        session.acknowledged(&OptionRequest::StructuredReply);
        session.offered(&set_contexts("disk", &["base:allocation"]), &tls_only());
        session.offered(&go("disk", &[]), &tls_only());
        assert_eq!(session.negotiated().contexts.len(), 1);
    }
}

#[test]
fn a_caller_can_demand_tls_only_where_the_specification_lets_it() {
    let demand = |session: &mut Session, request: &OptionRequest<'_>| {
        session.ask(request);
        session.refuse(ReplyType::ERR_TLS_REQD, "")
    };
    // To hide which exports there are, where TLS is offered.
    for request in [info("", &[]), go("", &[])] {
        assert_eq!(demand(&mut with_tls(ServerTls::Offered), &request), Ok(()));
    }
    let mut session = with_tls(ServerTls::Offered);
    session.acknowledged(&OptionRequest::StructuredReply);
    for request in [OptionRequest::List, list_contexts("", &[]), set_contexts("", &[])] {
        let refused = Err(Refused::Answer { reason: "this cannot be answered with a demand for TLS" });
        assert_eq!(demand(&mut session, &request), refused);
        session.refuse(ReplyType::ERR_POLICY, "").unwrap();
    }
    let refused = Err(Refused::Answer { reason: "this cannot be answered with a demand for TLS" });
    assert_eq!(demand(&mut with_tls(ServerTls::Off), &info("", &[])), refused);
    for tls in [ServerTls::Offered, ServerTls::Required] {
        let mut session = with_tls(tls);
        switch(&mut session);
        assert_eq!(demand(&mut session, &go("", &[])), Err(Refused::Answer { reason: "TLS is in use" }));
        assert_eq!(session.server.status(), nbd_proto::handshake::ServerStatus::NeedAnswer);
    }
}
