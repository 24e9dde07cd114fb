//! The stream ends, wherever it may.

use nbd_proto::error::{Ended, Error, Unavailable};
use nbd_proto::handshake::{ClientHandshake, Connect, Flow, HandshakeSettings, List, ListSettings, TlsPolicy};

use crate::bytes::{
    self, EXTENDED_HEADERS, GO, INFO, LIST, LIST_META_CONTEXT, SET_META_CONTEXT, STARTTLS, STRUCTURED_REPLY, UNSUP,
    context, export_facts, greeting, info, info_block_size, info_export, join, oldstyle, server,
};
use crate::engine::Engine;
use crate::peer::{Peer, bare};

fn at(awaiting: &'static str) -> Error {
    Ended::AtBoundary { awaiting }.into()
}

fn within(within: &'static str) -> Error {
    Ended::InMessage { within }.into()
}

/// Ends a stream at every byte before its end, and holds the error against what the messages say. Each message
/// comes with its name, as errors tell it.
fn cut_everywhere<F: Flow>(flow: impl Fn() -> F, messages: &[(&'static str, Vec<u8>)]) {
    let whole: Vec<u8> = messages.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    let mut end = 0;
    for (name, message) in messages {
        for length in end..end + message.len() {
            let peer = Peer::says(&whole[..length]);
            let expected = if length == end { at(name) } else { within(name) };
            assert_eq!(peer.run(flow()).error(), expected, "cut at {length} of {}", whole.len());
            assert_eq!(peer.run_bytewise(flow()).error(), expected, "cut at {length} of {}, bytewise", whole.len());
        }
        end += message.len();
    }
    Peer::says(whole).run(flow()).success();
}

const REPLY: &str = "an option reply";

#[test]
fn a_connect_cut_at_every_byte() {
    let settings =
        || bare("disk").with_extended_headers(true).with_structured_replies(true).with_meta_context("base:allocation");
    cut_everywhere(
        || Connect::new(settings()),
        &[
            ("the greeting", greeting(3)),
            (REPLY, bytes::reply(EXTENDED_HEADERS, UNSUP, b"what?")),
            (REPLY, bytes::ack(STRUCTURED_REPLY)),
            (REPLY, context(SET_META_CONTEXT, 1, "base:allocation")),
            (REPLY, bytes::ack(SET_META_CONTEXT)),
            (REPLY, info_block_size(GO, 1, 4096, 1 << 25)),
            (REPLY, info(GO, 0x99, b"skipped as it comes")),
            (REPLY, info(GO, 0x9a, b"")),
            (REPLY, info_export(GO, 1, 1)),
            (REPLY, bytes::ack(GO)),
        ],
    );
}

#[test]
fn a_listing_cut_at_every_byte() {
    cut_everywhere(
        || List::new(ListSettings::default()),
        &[
            ("the greeting", greeting(1)),
            (REPLY, bytes::ack(EXTENDED_HEADERS)),
            (REPLY, server("disk", "description")),
            (REPLY, bytes::ack(LIST)),
            (REPLY, info_export(INFO, 1, 1)),
            (REPLY, bytes::ack(INFO)),
            (REPLY, context(LIST_META_CONTEXT, 0, "qemu:x")),
            (REPLY, bytes::ack(LIST_META_CONTEXT)),
        ],
    );
}

#[test]
fn an_oldstyle_greeting_cut_at_every_byte() {
    cut_everywhere(|| Connect::new(bare("")), &[("the greeting", oldstyle(1, 1))]);
    cut_everywhere(|| List::new(ListSettings::default()), &[("the greeting", oldstyle(1, 1))]);
}

// Hanging up is the only way a server has to refuse `EXPORT_NAME`.
#[test]
fn an_export_name_cut_at_every_byte() {
    for flags in [0, 2] {
        let answer = if flags == 0 { join(&[&export_facts(9, 1), &[0; 124]]) } else { export_facts(9, 1) };
        let hello = Peer::says(greeting(flags));
        let rejected = Unavailable::ExportNameRejected { name: "disk".to_owned() };
        assert_eq!(hello.run(Connect::new(bare("disk"))).error(), rejected.into());
        for length in 1..answer.len() {
            let peer = hello.clone().then(&answer[..length]);
            for run in [peer.run(Connect::new(bare("disk"))), peer.run_bytewise(Connect::new(bare("disk")))] {
                assert_eq!(run.error(), within("the answer to NBD_OPT_EXPORT_NAME"), "cut at {length}");
            }
        }
    }
}

#[test]
fn tls_cut_before_during_and_after_the_switch() {
    let settings = || bare("").with_tls(TlsPolicy::Required);
    let clear = Peer::fixed().ack(STARTTLS);
    assert_eq!(clear.run(Connect::new(settings())).error(), at("the TLS handshake"));
    let inside = clear.in_tls();
    assert_eq!(inside.run(Connect::new(settings())).error(), at(REPLY));
    assert_eq!(inside.then(b"\0").run(Connect::new(settings())).error(), within(REPLY));
}

#[test]
fn the_end_while_the_caller_is_to_choose() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    assert_eq!(engine.handshake.eof(), at("nothing (an option was to be chosen)"));
}

#[test]
fn the_end_when_all_is_said() {
    let mut engine = Engine::new(HandshakeSettings::default());
    engine.feed(&oldstyle(1, 1)).unwrap();
    assert_eq!(engine.handshake.eof(), at("the first request"));
}

#[test]
fn the_first_error_stays() {
    let mut handshake = ClientHandshake::new(HandshakeSettings::default());
    let error = handshake.give_up("no route to \x1b host");
    assert_eq!(error, Ended::GivenUp { reason: "no route to \x1b host".to_owned() }.into());
    assert_eq!(error.to_string(), "no route to \\u{1b} host");
    assert_eq!(handshake.eof(), error);
    assert_eq!(handshake.give_up("something else"), error);
    assert_eq!(handshake.input(&greeting(3), &mut Vec::new()), Err(error.clone()));
    assert_eq!(handshake.finish(), Err(error));
}

#[test]
fn a_driver_may_give_a_flow_up_at_any_time() {
    for length in 0..=18 {
        let mut flow = Connect::new(bare(""));
        let mut out = Vec::new();
        flow.input(&greeting(3)[..length], &mut out).unwrap();
        let sent = out.len();
        let error = flow.give_up("timed out");
        assert_eq!(error, Ended::GivenUp { reason: "timed out".to_owned() }.into());
        assert_eq!(flow.input(b"more", &mut out), Err(error.clone()));
        assert_eq!((out.len(), flow.finish().unwrap_err()), (sent, error));
    }
}

#[test]
fn a_call_without_input_does_not_make_a_cut_clean() {
    let mut handshake = ClientHandshake::new(HandshakeSettings::default());
    let mut out = Vec::new();
    assert_eq!(handshake.input(&greeting(3)[..5], &mut out).unwrap().consumed, 0);
    assert_eq!(handshake.input(&[], &mut out).unwrap().consumed, 0);
    assert_eq!(handshake.eof(), within("the greeting"));
}
