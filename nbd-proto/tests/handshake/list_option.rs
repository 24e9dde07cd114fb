//! `NBD_OPT_LIST`.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message};
use nbd_proto::handshake::{HandshakeEvent, List, TlsPolicy};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes::{
    ABORT, LIST, REP_SERVER, UNSUP, ack, client_flags, join, option, refused, reply, reply_header, server,
};
use crate::engine::{Engine, done};
use crate::peer::{Peer, bare_list};

// O1
#[test]
fn names_and_descriptions_come_in_the_servers_order() {
    let peer = Peer::fixed()
        .then(server("zwei", "the second\x1b[1m"))
        .then(server("", ""))
        .then(server("eins", ""))
        .then(server("eins", "twice"))
        .ack(LIST);
    let run = peer.run(List::new(bare_list()));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(LIST, b""), &option(ABORT, b"")]));
    let exports = run.success().exports;
    let told: Vec<_> = exports.iter().map(|export| (&export.name[..], &export.description[..])).collect();
    assert_eq!(told, [("zwei", "the second\x1b[1m"), ("", ""), ("eins", ""), ("eins", "twice")]);
    assert!(exports.iter().all(|export| export.info.is_none() && export.contexts.is_empty()));
}

// O1
#[test]
fn an_entry_needs_its_four_bytes() {
    for got in [0, 3] {
        let peer = Peer::fixed().then(reply_header(LIST, REP_SERVER, got));
        let expected = Expected::Between(4, 8196);
        let error = InvalidMessage::Length { message: Message::Server, expected, got: u64::from(got) };
        assert_eq!(peer.run(List::new(bare_list())).error(), error.into());
    }
}

// O1
#[test]
fn an_entry_is_bounded_before_it_comes() {
    for got in [8197, u32::MAX] {
        let peer = Peer::fixed().then(reply_header(LIST, REP_SERVER, got));
        let expected = Expected::Between(4, 8196);
        let error = InvalidMessage::Length { message: Message::Server, expected, got: u64::from(got) };
        assert_eq!(peer.run(List::new(bare_list())).error(), error.into());
    }
}

// O1
#[test]
fn the_name_must_fit_in_its_entry() {
    for (length, payload) in [(1, &b"\0\0\0\x01"[..]), (3, b"\0\0\0\x03ab"), (0xffff_ffff, b"\xff\xff\xff\xffab")] {
        let peer = Peer::fixed().then(reply(LIST, REP_SERVER, payload));
        let room = payload.len() as u64 - 4;
        let error = InvalidMessage::InnerLength { field: Field::ExportName, length, room };
        assert_eq!(peer.run(List::new(bare_list())).error(), error.into());
    }
}

// O1
#[test]
fn strings_over_the_bound_are_told_apart() {
    for (name, description, field) in [(4097, 0, Field::ExportName), (0, 4097, Field::Description)] {
        let peer = Peer::fixed().then(server(&"x".repeat(name), &"x".repeat(description)));
        let error = InvalidMessage::StringTooLong { field, length: 4097 };
        assert_eq!(peer.run(List::new(bare_list())).error(), error.into());
    }
}

// O1
#[test]
fn a_server_that_knows_no_list_has_an_empty_one() {
    let peer = Peer::fixed().then(server("dropped", "")).then(refused(LIST, UNSUP));
    let run = peer.run(List::new(bare_list()));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(LIST, b""), &option(ABORT, b"")]));
    assert_eq!(run.success().exports, []);
}

// O1
#[test]
fn the_caller_sees_each_entry_as_it_comes() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&OptionRequest::List, &option(LIST, b""));
    let answer = join(&[&server("a", "b\u{e9}"), &ack(LIST)]);
    let expected =
        [HandshakeEvent::Reply(OptionReply::Server { name: "a", description: "b\u{e9}".as_bytes() }), done(LIST)];
    assert_eq!(engine.answers(&answer), expected);
    // An empty list is a list.
    engine.choose(&OptionRequest::List, &option(LIST, b""));
    assert_eq!(engine.answers(&ack(LIST)), [done(LIST)]);
}
