//! TLS: off, opportunistic and required.

use nbd_proto::error::{Ended, Error, PeerMisbehaved, Refused, TlsUnavailable, Unavailable};
use nbd_proto::handshake::{
    Connect, ConnectSettings, Flow, HandshakeStyle, List, ListSettings, ReplyStyle, Status, TlsPolicy,
};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{
    self, ABORT, ERRORS, EXTENDED_HEADERS, GO, LIST, SET_META_CONTEXT, SHUTDOWN, STARTTLS, STRUCTURED_REPLY, TLS_REQD,
    ack, ask_info, client_flags, context, greeting, join, oldstyle, option, reply,
};
use crate::engine::{Engine, refusal, set};
use crate::peer::{Peer, bare, bare_list};

const POLICIES: [TlsPolicy; 3] = [TlsPolicy::Off, TlsPolicy::Opportunistic, TlsPolicy::Required];

// H7
#[test]
fn required_tls_comes_first_and_the_rest_goes_through_it() {
    let settings = ConnectSettings::new("disk").with_tls(TlsPolicy::Required);
    let peer = Peer::fixed().ack(STARTTLS).in_tls().ack(EXTENDED_HEADERS).export(GO, 4096, 1);
    let run = peer.run(Connect::new(settings));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(STARTTLS, b"")]));
    let inside = join(&[&option(EXTENDED_HEADERS, b""), &ask_info(GO, "disk", &[1, 2, 3])]);
    assert_eq!(run.tls.as_deref(), Some(&inside[..]));
    let negotiated = run.success();
    assert!(negotiated.tls);
    assert_eq!(negotiated.reply_style, ReplyStyle::Extended);
}

// H7, R4, R5
#[test]
fn every_refusal_of_required_tls_ends_the_attempt() {
    for kind in ERRORS {
        let peer = Peer::fixed().then(reply(STARTTLS, kind, b"go\x1baway"));
        let connect = peer.run(Connect::new(bare("secret").with_tls(TlsPolicy::Required)));
        let list = peer.run(List::new(ListSettings::default().with_tls(TlsPolicy::Required)));
        let sent = join(&[&client_flags(3), &option(STARTTLS, b""), &option(ABORT, b"")]);
        assert_eq!((&connect.clear, &list.clear), (&sent, &sent));
        let refusal = refusal(STARTTLS, kind, "go\x1baway");
        // A server on its way out says nothing about TLS.
        let expected = match kind {
            SHUTDOWN => Unavailable::Refused(refusal),
            _ => Unavailable::Tls(TlsUnavailable::Refused(refusal)),
        };
        let error = connect.error();
        assert_eq!(error, expected.clone().into());
        assert_eq!(list.error(), expected.into());
        let sentence = error.to_string();
        assert!(sentence.contains("NBD_OPT_STARTTLS") && sentence.contains(": go\\u{1b}away"), "{sentence}");
    }
}

// H7, R4
#[test]
fn opportunistic_tls_goes_on_in_clear_when_refused() {
    for kind in ERRORS {
        let peer = Peer::fixed().then(reply(STARTTLS, kind, b"no")).export(GO, 4096, 1);
        let run = peer.run(Connect::new(bare("disk").with_tls(TlsPolicy::Opportunistic)));
        let asked = join(&[&client_flags(3), &option(STARTTLS, b"")]);
        let expected = match kind {
            SHUTDOWN => Unavailable::Refused(refusal(STARTTLS, kind, "no")),
            TLS_REQD => Unavailable::ServerRequiresTls(refusal(STARTTLS, kind, "no")),
            _ => {
                assert_eq!(run.clear, join(&[&asked, &ask_info(GO, "disk", &[])]));
                assert!(!run.success().tls);
                continue;
            }
        };
        assert_eq!(run.clear, join(&[&asked, &option(ABORT, b"")]));
        assert_eq!(run.error(), expected.into());
    }
}

#[test]
fn every_policy_meets_every_style() {
    for policy in POLICIES {
        let required = policy == TlsPolicy::Required;
        let old = Peer::says(oldstyle(1, 1)).run(Connect::new(bare("").with_tls(policy)));
        assert_eq!(old.clear, b"");
        assert_eq!(old.result().is_err(), required);

        let new = Peer::says(greeting(0)).then(bytes::export_facts(1, 1)).then([0; 124]);
        let new = new.run(Connect::new(bare("").with_tls(policy)));
        let name = option(bytes::EXPORT_NAME, b"");
        assert_eq!(new.clear, if required { vec![] } else { join(&[&client_flags(0), &name]) });
        assert_eq!(new.result().is_err(), required);

        let fixed = match policy {
            TlsPolicy::Off => Peer::fixed(),
            _ => Peer::fixed().ack(STARTTLS).in_tls(),
        };
        let run = fixed.export(GO, 1, 1).run(Connect::new(bare("").with_tls(policy)));
        assert_eq!(run.tls.is_some(), policy != TlsPolicy::Off);
        let negotiated = run.success();
        assert_eq!(negotiated.tls, policy != TlsPolicy::Off);
        assert_eq!(negotiated.handshake_style, HandshakeStyle::FixedNewstyle);
    }
}

#[test]
fn listing_goes_through_tls_too() {
    let peer = Peer::fixed().ack(STARTTLS).in_tls().then(bytes::server("a", "")).ack(LIST);
    let run = peer.run(List::new(bare_list().with_tls(TlsPolicy::Opportunistic)));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(STARTTLS, b"")]));
    assert_eq!(run.tls.as_deref(), Some(&join(&[&option(LIST, b""), &option(ABORT, b"")])[..]));
    let listing = run.success();
    assert!(listing.tls && listing.exports.len() == 1);
}

#[test]
fn what_was_agreed_in_clear_is_forgotten_at_the_switch() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.agree(&OptionRequest::StructuredReply);
    let request = set("disk", &["base:allocation"]);
    engine.choose(&request, &bytes::ask_contexts(SET_META_CONTEXT, "disk", &["base:allocation"]));
    let answer = join(&[&context(SET_META_CONTEXT, 7, "base:allocation"), &ack(SET_META_CONTEXT)]);
    assert_eq!(engine.answers(&answer).len(), 2);
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Structured);
    assert_eq!(engine.handshake.contexts().len(), 1);

    engine.start_tls();
    assert!(engine.handshake.is_tls());
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Simple);
    assert_eq!(engine.handshake.contexts(), []);
    assert_eq!(engine.handshake.export_info(), None);
    assert!(matches!(
        engine.refuses(&request),
        Refused::Option {
            option: OptionCode::SET_META_CONTEXT,
            reason: "it needs structured replies or extended headers first"
        }
    ));
    let negotiated = engine.go("disk");
    assert_eq!((negotiated.reply_style, negotiated.tls), (ReplyStyle::Simple, true));
    assert_eq!(negotiated.contexts, []);
}

#[test]
fn extended_headers_and_export_facts_are_forgotten_as_well() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.agree(&OptionRequest::ExtendedHeaders);
    engine.choose(&crate::engine::ask("disk", &[]), &ask_info(bytes::INFO, "disk", &[]));
    engine.answers(&join(&[&bytes::info_export(bytes::INFO, 9, 1), &ack(bytes::INFO)]));
    assert!(engine.handshake.export_info().is_some());
    engine.start_tls();
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Simple);
    assert_eq!(engine.handshake.export_info(), None);
    // EXPORT_NAME, which extended headers forbid, is free again.
    engine.choose(&OptionRequest::ExportName(""), &option(bytes::EXPORT_NAME, b""));
}

#[test]
fn the_caller_may_try_tls_again_after_a_refusal_but_not_after_a_success() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    engine.answers(&bytes::refused(STARTTLS, bytes::POLICY));
    engine.start_tls();
    assert_eq!(
        engine.refuses(&OptionRequest::StartTls),
        Refused::Option { option: OptionCode::STARTTLS, reason: "TLS is in use already" }
    );
}

#[test]
fn clear_text_behind_the_agreement_is_fatal_in_the_same_slice_and_in_a_later_one() {
    let peer = Peer::fixed().ack(STARTTLS).then(b"\x16").in_tls().export(GO, 1, 1);
    for policy in [TlsPolicy::Opportunistic, TlsPolicy::Required] {
        for run in [
            peer.run(Connect::new(bare("secret").with_tls(policy))),
            peer.run_bytewise(Connect::new(bare("secret").with_tls(policy))),
        ] {
            assert_eq!(run.clear, join(&[&client_flags(3), &option(STARTTLS, b"")]), "no ABORT: TLS would be due");
            assert_eq!(run.tls, None);
            let error = run.error();
            assert_eq!(error, PeerMisbehaved::ClearTextBehindStartTls.into());
            assert!(error.to_string().contains("tampering"), "{error}");
        }
        let list = peer.run(List::new(ListSettings::default().with_tls(policy)));
        assert_eq!(list.error(), PeerMisbehaved::ClearTextBehindStartTls.into());
    }
}

#[test]
fn clear_text_behind_the_agreement_is_fatal_in_interactive_mode() {
    let mut engine = Engine::fixed(TlsPolicy::Required);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    assert_eq!(engine.answers(&ack(STARTTLS)), [], "the events are the same as below, in one slice");
    assert_eq!(engine.status(), Status::SwitchToTls);
    assert_eq!(engine.answers(b""), [], "an empty slice is no clear text");
    assert_eq!(engine.fails(&ack(STRUCTURED_REPLY)), PeerMisbehaved::ClearTextBehindStartTls.into());
    assert!(engine.handshake.tls_established().is_err());

    let mut engine = Engine::fixed(TlsPolicy::Required);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    let both = join(&[&ack(STARTTLS), &ack(STRUCTURED_REPLY)]);
    assert_eq!(engine.fails(&both), PeerMisbehaved::ClearTextBehindStartTls.into());
}

// A driver that reads "switch to TLS" hands in nothing more, so the one call that brings both has to fail.
#[test]
fn clear_text_in_the_same_slice_is_fatal_in_the_same_call() {
    let both = join(&[&ack(STARTTLS), b"\x16"]);
    let mut engine = Engine::fixed(TlsPolicy::Required);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    let error = engine.handshake.input(&both, &mut Vec::new()).unwrap_err();
    assert_eq!(error, PeerMisbehaved::ClearTextBehindStartTls.into());
    assert_eq!(engine.status(), Status::Closed);

    let mut flow = Connect::new(bare("secret").with_tls(TlsPolicy::Required));
    let mut out = Vec::new();
    assert_eq!(flow.input(&greeting(3), &mut out), Ok(18));
    assert_eq!(flow.input(&both, &mut out), Err(error));
    assert_eq!(flow.status(), Status::Closed);
}

#[test]
fn bytes_behind_a_refusal_of_tls_are_the_next_reply() {
    let peer = Peer::fixed().refuse(STARTTLS, bytes::UNSUP).export(GO, 1, 1);
    peer.run(Connect::new(bare("").with_tls(TlsPolicy::Opportunistic))).success();
}

#[test]
fn an_agreement_to_tls_must_be_empty() {
    // R6
    let run = Peer::fixed().then(reply(STARTTLS, 1, b"x")).run(Connect::new(bare("").with_tls(TlsPolicy::Required)));
    assert!(matches!(run.error(), Error::InvalidMessage(_)));
}

#[test]
fn a_demand_for_tls_names_the_way_out() {
    for asked in [EXTENDED_HEADERS, STRUCTURED_REPLY, GO] {
        let settings = bare("secret")
            .with_extended_headers(asked == EXTENDED_HEADERS)
            .with_structured_replies(asked == STRUCTURED_REPLY);
        let run = Peer::fixed().then(reply(asked, TLS_REQD, b"use \x07TLS")).run(Connect::new(settings));
        assert!(run.clear.ends_with(&option(ABORT, b"")));
        let error = run.error();
        assert_eq!(error, Unavailable::ServerRequiresTls(refusal(asked, TLS_REQD, "use \x07TLS")).into());
        let sentence = error.to_string();
        let start = format!("the server wants TLS before {}", OptionCode(asked));
        assert!(sentence.starts_with(&start) && sentence.contains("use \\u{7}TLS"), "{sentence}");
        assert!(sentence.contains("nbds://"), "{sentence}");
    }
}

// "The server MUST NOT send `NBD_REP_ERR_TLS_REQD` in reply to any option if TLS has already been initiated."
#[test]
fn a_demand_for_tls_inside_tls_is_a_breach() {
    let peer = Peer::fixed().ack(STARTTLS).in_tls().refuse(GO, TLS_REQD);
    let run = peer.run(Connect::new(bare("").with_tls(TlsPolicy::Required)));
    assert_eq!(run.error(), PeerMisbehaved::TlsRequiredInsideTls { option: OptionCode::GO }.into());
}

#[test]
fn an_end_of_stream_instead_of_tls_is_told() {
    let run = Peer::fixed().ack(STARTTLS).run(Connect::new(bare("").with_tls(TlsPolicy::Required)));
    assert_eq!(run.status, Status::SwitchToTls);
    assert_eq!(run.error(), Ended::AtBoundary { awaiting: "the TLS handshake" }.into());
}

#[test]
fn a_switch_that_nobody_agreed_to_is_refused() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    let refused = engine.handshake.tls_established().unwrap_err();
    assert_eq!(refused, Refused::Option { option: OptionCode::STARTTLS, reason: "no switch to TLS was agreed" });
    assert!(!engine.handshake.is_tls());
}

#[test]
fn a_switch_that_nobody_agreed_to_ends_a_flow() {
    let mut flow = Connect::new(bare(""));
    let mut out = Vec::new();
    let error = flow.tls_established(&mut out).unwrap_err();
    assert!(matches!(error, Error::Ended(Ended::GivenUp { .. })), "{error}");
    assert_eq!((flow.input(b"", &mut out), flow.eof()), (Err(error.clone()), error));
    assert_eq!(out, b"");
}

#[test]
fn what_cannot_be_sent_after_the_switch_ends_a_flow_for_good() {
    // The name is too long for the protocol, and it is the first thing to be asked for inside TLS.
    let long = "x".repeat(4097);
    let run = Peer::fixed().ack(STARTTLS).in_tls().run(Connect::new(bare(&long).with_tls(TlsPolicy::Required)));
    assert_eq!(run.status, Status::Closed);
    assert_eq!(run.tls.as_deref(), Some(&option(ABORT, b"")[..]), "a courtesy");
    let reason = "an export name must be at most 4096 bytes without NUL".to_owned();
    assert_eq!(run.error(), Ended::GivenUp { reason }.into());
}
