//! Errors that end the attempt, and errors that do not.

use nbd_proto::error::{Error, Refusal, Unavailable};
use nbd_proto::handshake::{Connect, ConnectSettings, List, ListSettings, ReplyStyle, Status, TlsPolicy};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{
    self, ABORT, BLOCK_SIZE_REQD, ERRORS, EXT_HEADER_REQD, EXTENDED_HEADERS, GO, INFO, INVALID, LIST,
    LIST_META_CONTEXT, PLATFORM, POLICY, SET_META_CONTEXT, SHUTDOWN, STRUCTURED_REPLY, TLS_REQD, TOO_BIG, UNKNOWN,
    UNSUP, ask_contexts, ask_info, client_flags, context, join, option, reply,
};
use crate::engine::{Engine, failed, refusal};
use crate::peer::{Peer, bare, bare_list};

fn unavailable(option: u32, kind: u32, message: &str) -> Error {
    let refusal = refusal(option, kind, message);
    match kind {
        TLS_REQD => Unavailable::ServerRequiresTls(refusal).into(),
        _ => Unavailable::Refused(refusal).into(),
    }
}

#[track_caller]
fn assert_sentence(error: &Error, option: u32, kind: u32) {
    let option = OptionCode(option);
    let start = match kind {
        POLICY => format!("the server's policy denies {option}"),
        INVALID => format!("the server finds the parameters of {option} invalid"),
        PLATFORM => format!("the server's platform does not support {option}"),
        TLS_REQD => format!("the server wants TLS before {option}"),
        UNKNOWN => format!("the server has no such export ({option})"),
        SHUTDOWN => format!("the server is shutting down and denies {option}"),
        BLOCK_SIZE_REQD => format!("the server wants block sizes to be asked for in {option}"),
        TOO_BIG => format!("the server finds {option}, or its answer, too big"),
        EXT_HEADER_REQD => format!("the server wants extended headers before {option}"),
        UNSUP => format!("the server does not know {option}"),
        kind => format!("the server failed {option} with option reply {kind:#x}, which nobody knows"),
    };
    let sentence = error.to_string();
    assert!(sentence.starts_with(&format!("{start}: its \"words\"\\n\\u{{202e}}")), "{sentence}");
}

const WORDS: &str = "its \"words\"\n\u{202e}";

// R4, R5
#[test]
fn every_error_to_go_ends_the_attempt_but_unsup() {
    for kind in ERRORS.into_iter().filter(|kind| *kind != UNSUP) {
        let run = Peer::fixed().then(reply(GO, kind, WORDS.as_bytes())).run(Connect::new(bare("disk")));
        assert_eq!(run.clear, join(&[&client_flags(3), &ask_info(GO, "disk", &[]), &option(ABORT, b"")]));
        let error = run.error();
        assert_eq!(error, unavailable(GO, kind, WORDS));
        assert_sentence(&error, GO, kind);
    }
}

// R4, R5
#[test]
fn every_error_to_a_list_that_was_asked_for_ends_the_attempt_but_unsup() {
    for kind in ERRORS.into_iter().filter(|kind| *kind != UNSUP) {
        let peer = Peer::fixed().then(bytes::server("a", "")).then(reply(LIST, kind, WORDS.as_bytes()));
        let run = peer.run(List::new(bare_list()));
        assert_eq!(run.clear, join(&[&client_flags(3), &option(LIST, b""), &option(ABORT, b"")]));
        let error = run.error();
        assert_eq!(error, unavailable(LIST, kind, WORDS));
        assert_sentence(&error, LIST, kind);
    }
}

// R4, R5
#[test]
fn every_error_to_extended_headers_or_structured_replies_goes_on_but_two() {
    for (asked, kind) in [EXTENDED_HEADERS, STRUCTURED_REPLY].into_iter().flat_map(|o| ERRORS.map(|kind| (o, kind))) {
        let settings = bare("")
            .with_extended_headers(asked == EXTENDED_HEADERS)
            .with_structured_replies(asked == STRUCTURED_REPLY);
        let peer = Peer::fixed().then(reply(asked, kind, WORDS.as_bytes())).export(GO, 1, 1);
        let run = peer.run(Connect::new(settings));
        let asked_for = join(&[&client_flags(3), &option(asked, b"")]);
        if matches!(kind, SHUTDOWN | TLS_REQD) {
            assert_eq!(run.clear, join(&[&asked_for, &option(ABORT, b"")]));
            assert_eq!(run.error(), unavailable(asked, kind, WORDS));
        } else {
            assert_eq!(run.clear, join(&[&asked_for, &ask_info(GO, "", &[])]));
            assert_eq!(run.success().reply_style, ReplyStyle::Simple);
        }
    }
}

// R4, R5: what came before the error is dropped.
#[test]
fn every_error_to_a_choice_of_contexts_goes_on_but_two() {
    for kind in ERRORS {
        let settings = bare("").with_structured_replies(true).with_meta_context("base:allocation");
        let peer = Peer::fixed()
            .ack(STRUCTURED_REPLY)
            .then(context(SET_META_CONTEXT, 1, "base:allocation"))
            .then(reply(SET_META_CONTEXT, kind, WORDS.as_bytes()))
            .export(GO, 1, 1);
        let run = peer.run(Connect::new(settings));
        let asked = join(&[
            &client_flags(3),
            &option(STRUCTURED_REPLY, b""),
            &ask_contexts(SET_META_CONTEXT, "", &["base:allocation"]),
        ]);
        if matches!(kind, SHUTDOWN | TLS_REQD) {
            assert_eq!(run.clear, join(&[&asked, &option(ABORT, b"")]));
            assert_eq!(run.error(), unavailable(SET_META_CONTEXT, kind, WORDS));
        } else {
            assert_eq!(run.clear, join(&[&asked, &ask_info(GO, "", &[])]));
            assert_eq!(run.success().contexts, []);
        }
    }
}

// R4, R5
#[test]
fn every_error_to_a_list_of_contexts_goes_on_but_two() {
    for kind in ERRORS {
        let settings = bare("").with_structured_replies(true).with_list_contexts(true);
        let peer = Peer::fixed()
            .ack(STRUCTURED_REPLY)
            .then(context(LIST_META_CONTEXT, 0, "base:allocation"))
            .then(reply(LIST_META_CONTEXT, kind, WORDS.as_bytes()))
            .export(GO, 1, 1);
        let run = peer.run(Connect::new(settings));
        let asked =
            join(&[&client_flags(3), &option(STRUCTURED_REPLY, b""), &ask_contexts(LIST_META_CONTEXT, "", &[])]);
        if matches!(kind, SHUTDOWN | TLS_REQD) {
            assert_eq!(run.clear, join(&[&asked, &option(ABORT, b"")]));
            assert_eq!(run.error(), unavailable(LIST_META_CONTEXT, kind, WORDS));
        } else {
            assert_eq!(run.clear, join(&[&asked, &ask_info(GO, "", &[])]));
            assert_eq!(run.success().available_contexts, Some(vec![]));
        }
    }
}

// R4, R5, F2: the same options in a listing.
#[test]
fn a_listing_takes_the_same_errors_the_same_way() {
    for (asked, kind) in [STRUCTURED_REPLY, LIST_META_CONTEXT].into_iter().flat_map(|o| ERRORS.map(|kind| (o, kind))) {
        let peer = Peer::fixed();
        let peer = if asked == STRUCTURED_REPLY {
            peer.then(reply(asked, kind, WORDS.as_bytes())).then(bytes::server("a", "")).ack(LIST).export(INFO, 1, 1)
        } else {
            peer.ack(STRUCTURED_REPLY)
                .then(bytes::server("a", ""))
                .ack(LIST)
                .export(INFO, 1, 1)
                .then(context(LIST_META_CONTEXT, 0, "base:allocation"))
                .then(reply(asked, kind, WORDS.as_bytes()))
        };
        let run = peer.run(List::new(ListSettings::default().with_extended_headers(false)));
        assert!(run.clear.ends_with(&option(ABORT, b"")));
        if matches!(kind, SHUTDOWN | TLS_REQD) {
            assert_eq!(run.error(), unavailable(asked, kind, WORDS));
        } else {
            let listing = run.success();
            assert_eq!(listing.exports[0].contexts, [""; 0], "what came before the error counts for nothing");
            assert!(matches!(listing.exports[0].info, Some(Ok(_))));
        }
    }
}

// R4
#[test]
fn a_caller_who_chooses_is_told_every_error_but_shutdown() {
    for kind in ERRORS.into_iter().filter(|kind| *kind != SHUTDOWN) {
        let mut engine = Engine::fixed(TlsPolicy::Off);
        engine.choose(&OptionRequest::List, &option(LIST, b""));
        assert_eq!(engine.answers(&reply(LIST, kind, WORDS.as_bytes())), [failed(LIST, kind, WORDS)]);
        assert_eq!(engine.status(), Status::Choose);
    }
}

// "If the client receives `NBD_REP_ERR_SHUTDOWN` it MUST initiate a soft disconnect" (spec, *Termination of the
// session during option haggling*); R5
#[test]
fn a_shutdown_is_answered_with_abort_whatever_was_asked() {
    for request in crate::interactive::every_option("disk") {
        if matches!(request, OptionRequest::ExportName(_) | OptionRequest::Abort) {
            continue;
        }
        let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
        if matches!(request, OptionRequest::SetMetaContext(_)) {
            engine.agree(&OptionRequest::StructuredReply);
        }
        let code = request.option().0;
        engine.handshake.choose(&request, &mut Vec::new()).unwrap();
        let (error, sent) = engine.feed(&reply(code, SHUTDOWN, b"bye")).unwrap_err();
        assert_eq!(sent, option(ABORT, b""));
        assert_eq!(error, Unavailable::Refused(refusal(code, SHUTDOWN, "bye")).into());
        assert_eq!(engine.status(), Status::Closed);
        assert_eq!(engine.handshake.eof(), error, "the reply to ABORT is not waited for");
    }
}

// R5: nothing is sent after a breach of the protocol; there the specification lets us hang up at once.
#[test]
fn a_breach_is_answered_by_hanging_up() {
    let run = Peer::fixed().ack(GO).run(Connect::new(ConnectSettings::new("").with_extended_headers(false)));
    assert!(matches!(run.result().unwrap_err(), Error::PeerMisbehaved(_)));
    let run = Peer::fixed().ack(GO).run(Connect::new(bare("")));
    assert_eq!(run.clear, join(&[&client_flags(3), &ask_info(GO, "", &[])]));
}

#[test]
fn an_unknown_refusal_without_words_ends_with_the_number() {
    let refusal = Refusal { option: OptionCode::GO, reply: ReplyType(0x8000_7777), message: String::new() };
    assert_eq!(refusal.to_string(), "the server failed NBD_OPT_GO with option reply 0x80007777, which nobody knows");
}
