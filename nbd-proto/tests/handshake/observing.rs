//! Every step can be seen.
#![allow(clippy::disallowed_types, reason = "an observer has to be `Send`, and the test looks at what it saw")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use nbd_proto::handshake::{Connect, Flow, HandshakeSettings, List};
use nbd_proto::observe::{Observation, Observer};

use crate::bytes::{self, GO, LIST, greeting, info, server};
use crate::connect::{generous, greedy};
use crate::engine::Engine;
use crate::peer::{Peer, bare, bare_list};

/// An observer and what it has seen.
fn watch() -> (Option<Box<dyn Observer>>, impl FnOnce() -> Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let observer = move |what: &Observation<'_>| sink.lock().unwrap().push(short(what));
    (Some(Box::new(observer)), move || seen.lock().unwrap().clone())
}

fn short(what: &Observation<'_>) -> String {
    match what {
        Observation::Greeting(greeting) => format!("< {greeting:?}"),
        Observation::ClientFlags(flags) => format!("> {flags:?}"),
        Observation::OptionRequest(request) => format!("> {}", request.option()),
        Observation::OptionReply { option, reply } => format!("< {option} {}", reply.reply()),
        Observation::SkippedInfo { option, info, length } => format!("< {option} {info}, {length} bytes"),
        Observation::ExportName(facts) => format!("< {facts:?}"),
        Observation::TlsEstablished => "TLS".to_owned(),
        Observation::Fatal(error) => format!("! {error}"),
        other => panic!("{other:?} has no place in a handshake"),
    }
}

// T5
#[test]
fn a_whole_connect_can_be_seen() {
    let mut flow = Connect::new(greedy());
    let (observer, seen) = watch();
    flow.set_observer(observer);
    generous().run(flow).success();
    let expected = [
        "< Newstyle(HandshakeFlags(FIXED_NEWSTYLE | NO_ZEROES))",
        "> ClientFlags(FIXED_NEWSTYLE | NO_ZEROES)",
        "> NBD_OPT_STARTTLS",
        "< NBD_OPT_STARTTLS NBD_REP_ACK",
        "TLS",
        "> NBD_OPT_EXTENDED_HEADERS",
        "< NBD_OPT_EXTENDED_HEADERS NBD_REP_ERR_UNSUP",
        "> NBD_OPT_STRUCTURED_REPLY",
        "< NBD_OPT_STRUCTURED_REPLY NBD_REP_ACK",
        "> NBD_OPT_LIST_META_CONTEXT",
        "< NBD_OPT_LIST_META_CONTEXT NBD_REP_META_CONTEXT",
        "< NBD_OPT_LIST_META_CONTEXT NBD_REP_META_CONTEXT",
        "< NBD_OPT_LIST_META_CONTEXT NBD_REP_ACK",
        "> NBD_OPT_SET_META_CONTEXT",
        "< NBD_OPT_SET_META_CONTEXT NBD_REP_META_CONTEXT",
        "< NBD_OPT_SET_META_CONTEXT NBD_REP_META_CONTEXT",
        "< NBD_OPT_SET_META_CONTEXT NBD_REP_ACK",
        "> NBD_OPT_GO",
        "< NBD_OPT_GO NBD_REP_INFO",
        "< NBD_OPT_GO NBD_REP_INFO",
        "< NBD_OPT_GO NBD_REP_INFO",
        "< NBD_OPT_GO information type 0x1234, 4 bytes",
        "< NBD_OPT_GO NBD_REP_INFO",
        "< NBD_OPT_GO NBD_REP_ACK",
    ];
    assert_eq!(seen(), expected);
}

// T5
#[test]
fn the_other_ways_in_can_be_seen() {
    let mut flow = Connect::new(bare("x"));
    let (observer, seen) = watch();
    flow.set_observer(observer);
    Peer::says(greeting(2)).then(bytes::export_facts(7, 3)).run(flow).success();
    let expected = [
        "< Newstyle(HandshakeFlags(NO_ZEROES))",
        "> ClientFlags(NO_ZEROES)",
        "> NBD_OPT_EXPORT_NAME",
        "< ExportFacts { size: 7, flags: TransmissionFlags(HAS_FLAGS | READ_ONLY) }",
    ];
    assert_eq!(seen(), expected);

    let mut flow = Connect::new(bare(""));
    let (observer, seen) = watch();
    flow.set_observer(observer);
    Peer::says(bytes::oldstyle(7, 1)).run(flow).success();
    assert_eq!(seen(), ["< Oldstyle(ExportFacts { size: 7, flags: TransmissionFlags(HAS_FLAGS) })"]);
}

// T5
#[test]
fn the_courtesy_and_the_error_can_be_seen_once() {
    let mut flow = List::new(bare_list());
    let (observer, seen) = watch();
    flow.set_observer(observer);
    let peer = Peer::fixed().then(server("a", "")).then(bytes::reply(LIST, bytes::POLICY, b"no"));
    peer.run(flow).error();
    let expected = [
        "> NBD_OPT_LIST",
        "< NBD_OPT_LIST NBD_REP_SERVER",
        "< NBD_OPT_LIST NBD_REP_ERR_POLICY",
        "> NBD_OPT_ABORT",
        "! the server's policy denies NBD_OPT_LIST: no",
    ];
    assert_eq!(seen()[2..], expected);
}

// T5: numbers nobody knows are shown as numbers, known ones beside their names.
#[test]
fn numbers_come_with_their_names() {
    let seen = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&seen);
    let mut flow = Connect::new(bare("x").with_block_sizes(true));
    flow.set_observer(Some(Box::new(move |what: &Observation<'_>| {
        writeln!(sink.lock().unwrap(), "{what:?}").unwrap();
    })));
    let peer = Peer::fixed().then(info(GO, 0x1234, b"")).then(bytes::reply(GO, 0x8000_7777, b""));
    peer.run(flow).error();
    let seen = seen.lock().unwrap();
    for part in ["InfoType(NBD_INFO_BLOCK_SIZE, 0x3)", "option: OptionCode(NBD_OPT_GO, 0x7)", "0x1234", "0x80007777"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn an_observer_can_be_taken_away() {
    let mut engine = Engine::new(HandshakeSettings::default());
    let (observer, seen) = watch();
    engine.handshake.set_observer(observer);
    engine.feed(&greeting(0)).unwrap();
    engine.handshake.set_observer(None);
    engine.handshake.give_up("unseen");
    assert_eq!(seen().len(), 2);
    let mut flow = Connect::new(bare(""));
    flow.set_observer(None);
    flow.eof();
}
