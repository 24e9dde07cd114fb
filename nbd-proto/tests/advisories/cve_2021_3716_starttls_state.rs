//! CVE-2021-3716: what was said in clear outlives the switch to TLS. Somebody in the middle injects an option, or the
//! bytes of one, before the encryption begins; the side that keeps it goes on as if the other had sent it inside TLS.
//!
//! We promise, in both roles: bytes in clear behind `STARTTLS` end the session, however they are cut, and never reach
//! what is inside; and all that was agreed in clear is forgotten at the switch.

use nbd_proto::error::{Error, PeerMisbehaved};
use nbd_proto::handshake::{
    Connect, Flow as _, ReplyStyle, ServerHandshakeSettings, ServerStatus, ServerTls, Status, TlsPolicy,
};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes as client;
use crate::accept::session::{Session, plain};
use crate::connect::bytes::{self, GO, SET_META_CONTEXT, STARTTLS, STRUCTURED_REPLY, ack, context, greeting};
use crate::connect::engine::{Engine, set};
use crate::connect::peer::{Peer, bare};

fn tampering() -> Error {
    PeerMisbehaved::ClearTextBehindStartTls.into()
}

#[test]
fn bytes_with_the_reply_to_starttls_do_not_get_into_the_session() {
    let injected = [b"\x16".to_vec(), ack(STRUCTURED_REPLY), bytes::info_export(GO, 666, 1)];
    for (policy, injected) in
        [TlsPolicy::Opportunistic, TlsPolicy::Required].into_iter().flat_map(|p| injected.clone().map(|i| (p, i)))
    {
        let peer = Peer::fixed().ack(STARTTLS).then(&injected).in_tls().export(GO, 4096, 1);
        let settings = || bare("disk").with_tls(policy);
        for run in [peer.run(Connect::new(settings())), peer.run_bytewise(Connect::new(settings()))] {
            assert_eq!(run.tls, None, "TLS was begun");
            assert_eq!(run.error(), tampering());
        }
        // One call that brings both, after which a driver would begin TLS.
        let mut flow = Connect::new(settings());
        let mut out = Vec::new();
        flow.input(&greeting(3), &mut out).unwrap();
        assert_eq!(flow.input(&[ack(STARTTLS), injected].concat(), &mut out), Err(tampering()));
        assert_eq!(flow.status(), Status::Closed);
    }
}

#[test]
fn bytes_with_the_option_starttls_do_not_get_into_the_session() {
    let start = client::option(&OptionRequest::StartTls);
    let injected = [b"\x16".to_vec(), client::option(&OptionRequest::StructuredReply)];
    for (tls, injected) in
        [ServerTls::Offered, ServerTls::Required].into_iter().flat_map(|tls| injected.clone().map(|i| (tls, i)))
    {
        let session = || Session::greeted(ServerHandshakeSettings::default().with_tls(tls), 3);
        // Both in one call, after which a driver would begin TLS; and one by one.
        let both = [&start[..], &injected].concat();
        assert_eq!(session().server.input(&both, &mut Vec::new()), Err(tampering()));
        session().fails(&both, PeerMisbehaved::ClearTextBehindStartTls);
        let mut later = session();
        later.send(&start);
        assert_eq!(later.server.status(), ServerStatus::SwitchToTls);
        later.fails(&injected, PeerMisbehaved::ClearTextBehindStartTls);
    }
}

#[test]
fn a_client_forgets_what_was_agreed_in_clear() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.agree(&OptionRequest::StructuredReply);
    engine.handshake.choose(&set("disk", &["base:allocation"]), &mut Vec::new()).unwrap();
    engine.answers(&[context(SET_META_CONTEXT, 7, "base:allocation"), ack(SET_META_CONTEXT)].concat());
    engine.start_tls();
    let negotiated = engine.go("disk");
    assert!(negotiated.tls);
    assert_eq!((negotiated.reply_style, &negotiated.contexts[..]), (ReplyStyle::Simple, &[][..]));
}

#[test]
fn a_server_forgets_what_was_agreed_in_clear() {
    for agreed in [OptionRequest::StructuredReply, OptionRequest::ExtendedHeaders] {
        let mut session = Session::greeted(ServerHandshakeSettings::default().with_tls(ServerTls::Offered), 3);
        session.acknowledged(&agreed);
        let offer = plain().with_context("base:allocation");
        let selection = client::set_contexts("disk", &["base:allocation"]);
        session.offered(&selection, &offer);
        session.send(&client::option(&OptionRequest::StartTls));
        assert_eq!(session.sent(), client::ack(OptionCode::STARTTLS));
        session.server.tls_established().unwrap();
        assert_eq!(session.refused(&client::option(&selection)), ReplyType::ERR_INVALID, "it needs chunks first");
        session.offered(&client::go("disk", &[]), &offer);
        let negotiated = session.negotiated();
        assert!(negotiated.tls);
        assert_eq!((negotiated.reply_style, &negotiated.contexts[..]), (ReplyStyle::Simple, &[][..]));
    }
}
