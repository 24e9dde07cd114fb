//! CVE-2019-14842: TLS is required, yet the session is clear. A client that was told to require TLS went on without it
//! when the server, or somebody between, said that there is none.
//!
//! We promise: where TLS is required nothing goes in clear but what asks for it and, at the end, the goodbye; no answer
//! changes that. A server that requires TLS tells a client in clear nothing but that.

use nbd_proto::error::{Error, Refused, TlsUnavailable, Unavailable};
use nbd_proto::handshake::{Connect, List, ListSettings, ServerHandshakeSettings, ServerTls, TlsPolicy};
use nbd_proto::wire::number::ReplyType;
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes as client;
use crate::accept::session::Session;
use crate::connect::bytes::{self, ABORT, ERRORS, GO, LIST, STARTTLS, STRUCTURED_REPLY};
use crate::connect::engine::{Engine, ask, go, list_contexts, set};
use crate::connect::peer::{Peer, bare};

/// What may be sent in clear: the flags, `STARTTLS`, and `ABORT`.
#[track_caller]
fn assert_harmless(clear: &[u8]) {
    let flags = [&[0, 0, 0, 1][..], &[0, 0, 0, 3]].into_iter().find_map(|flags| clear.strip_prefix(flags));
    let options = flags.unwrap_or_else(|| panic!("no flags: {clear:?}"));
    let options = options.strip_prefix(&bytes::option(STARTTLS, b"")[..]).unwrap_or(options);
    assert!(options.is_empty() || options == bytes::option(ABORT, b""), "{options:?}");
}

#[test]
fn whatever_answers_required_tls_nothing_is_sent_in_clear() {
    let greeted = || [1, 3].map(bytes::greeting).map(Peer::says);
    let refusals = ERRORS.iter().flat_map(|&kind| greeted().map(|peer| peer.refuse(STARTTLS, kind)));
    for peer in refusals.clone() {
        let error = peer.run(Connect::new(bare("secret").with_tls(TlsPolicy::Required))).error();
        assert!(matches!(&error, Error::Unavailable(it) if it.to_string().contains("NBD_OPT_STARTTLS")), "{error:?}");
    }
    // What asks for nothing, and servers that speak before they are asked.
    let pushed = greeted().map(|peer| peer.refuse(STARTTLS, bytes::UNSUP).ack(STRUCTURED_REPLY).export(GO, 4096, 1));
    let listed = greeted().map(|peer| peer.then(bytes::server("disk", "")).ack(LIST));
    let hurried = greeted().map(|peer| peer.export(GO, 4096, 1));
    for peer in refusals.chain(pushed).chain(listed).chain(hurried) {
        let connect = peer.run(Connect::new(bare("secret").with_tls(TlsPolicy::Required)));
        let list = peer.run(List::new(ListSettings::default().with_tls(TlsPolicy::Required)));
        assert_harmless(&connect.clear);
        assert_harmless(&list.clear);
        assert!((&connect.tls, &list.tls) == (&None, &None));
        assert!(connect.result().is_err() && list.result().is_err());
    }
}

#[test]
fn servers_that_have_no_tls_hear_nothing_where_it_is_required() {
    let old = (Peer::says(bytes::oldstyle(4096, 1)), TlsUnavailable::Oldstyle);
    let new = (Peer::says(bytes::greeting(0)).then(bytes::export_facts(4096, 1)), TlsUnavailable::NotFixed);
    for (peer, why) in [old, new] {
        let run = peer.run(Connect::new(bare("").with_tls(TlsPolicy::Required)));
        assert_eq!(run.clear, b"");
        assert_eq!(run.error(), Unavailable::Tls(why).into());
    }
}

#[test]
fn nobody_can_choose_another_option_before_required_tls_is_up() {
    let mut engine = Engine::fixed(TlsPolicy::Required);
    for request in [
        OptionRequest::ExportName("secret"),
        OptionRequest::List,
        ask("secret", &[]),
        go("secret", &[]),
        OptionRequest::StructuredReply,
        list_contexts("secret", &[]),
        set("secret", &["base:allocation"]),
        OptionRequest::ExtendedHeaders,
    ] {
        assert!(matches!(engine.refuses(&request), Refused::Option { .. }), "{request:?}");
    }
    engine.start_tls();
    assert!(engine.go("secret").tls);
}

#[test]
fn a_server_that_requires_tls_tells_nothing_in_clear() {
    let settings = || ServerHandshakeSettings::default().with_tls(ServerTls::Required);
    let mut session = Session::greeted(settings(), 3);
    for request in [
        OptionRequest::List,
        client::info("disk", &[]),
        client::go("disk", &[]),
        OptionRequest::StructuredReply,
        client::list_contexts("disk", &[]),
        client::set_contexts("disk", &["base:allocation"]),
        OptionRequest::ExtendedHeaders,
    ] {
        assert_eq!(session.refused(&client::option(&request)), ReplyType::ERR_TLS_REQD, "{request:?}");
    }
    let error = session.try_send(&client::option(&OptionRequest::ExportName("disk"))).unwrap_err();
    assert!(matches!(&error, Error::Unavailable(Unavailable::TurnedAway { .. })), "{error}");
    assert_eq!(session.sent(), b"");
    // Nor to a client that is too old for it.
    let mut old = Session::new(settings());
    old.sent();
    old.fails(&client::client_flags(0), Unavailable::Tls(TlsUnavailable::ClientNotFixed));
}
