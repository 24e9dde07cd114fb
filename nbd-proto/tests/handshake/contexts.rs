//! `NBD_OPT_SET_META_CONTEXT` and `NBD_OPT_LIST_META_CONTEXT`.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::{Connect, ConnectSettings, MetaContext, Negotiated, ReplyStyle};
use nbd_proto::wire::number::ContextId;

use crate::bytes::{
    self, EXTENDED_HEADERS, GO, LIST_META_CONTEXT, REP_META_CONTEXT, SET_META_CONTEXT, STRUCTURED_REPLY, UNSUP,
    ask_contexts, ask_info, client_flags, context, join, option, reply, reply_header,
};
use crate::peer::{Outcome, Peer, bare};

fn structured() -> Peer {
    Peer::fixed().ack(STRUCTURED_REPLY)
}

fn settings(queries: &[&str]) -> ConnectSettings {
    queries
        .iter()
        .fold(bare("disk").with_structured_replies(true), |settings, query| settings.with_meta_context(*query))
}

/// Answers a selection, and the `GO` behind it.
fn select(queries: &[&str], answer: &[(u32, &str)]) -> Outcome<Negotiated> {
    let answer: Vec<u8> = answer.iter().flat_map(|(id, name)| context(SET_META_CONTEXT, *id, name)).collect();
    let peer = structured().then(answer).ack(SET_META_CONTEXT).export(GO, 1, 1);
    peer.run(Connect::new(settings(queries)))
}

fn named(contexts: &[(u32, &str)]) -> Vec<MetaContext> {
    contexts.iter().map(|(id, name)| MetaContext { id: ContextId(*id), name: (*name).to_owned() }).collect()
}

// O9
#[test]
fn the_one_context_asked_for_is_kept() {
    let run = select(&["base:allocation"], &[(0xdead_beef, "base:allocation")]);
    let sent = [
        client_flags(3),
        option(STRUCTURED_REPLY, b""),
        ask_contexts(SET_META_CONTEXT, "disk", &["base:allocation"]),
        ask_info(GO, "disk", &[]),
    ];
    assert_eq!(run.clear, sent.concat());
    assert_eq!(run.success().contexts, named(&[(0xdead_beef, "base:allocation")]));
}

// O9
#[test]
fn none_and_unsup_mean_no_block_status() {
    assert_eq!(select(&["qemu:dirty-bitmap:b0"], &[]).success().contexts, []);
    let peer = structured().refuse(SET_META_CONTEXT, UNSUP).export(GO, 1, 1);
    assert_eq!(peer.run(Connect::new(settings(&["base:allocation"]))).success().contexts, []);
}

// O9
#[test]
fn contexts_are_not_asked_for_without_chunks_to_carry_them() {
    let peer = Peer::fixed().refuse(STRUCTURED_REPLY, UNSUP).export(GO, 1, 1);
    let run = peer.run(Connect::new(settings(&["base:allocation"]).with_list_contexts(true)));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(STRUCTURED_REPLY, b""), &ask_info(GO, "disk", &[])]));
    let negotiated = run.success();
    assert_eq!((negotiated.contexts, negotiated.reply_style), (vec![], ReplyStyle::Simple));
}

// O9: extended headers carry them as well.
#[test]
fn contexts_go_with_extended_headers() {
    let settings = bare("").with_extended_headers(true).with_meta_context("base:allocation");
    let peer = Peer::fixed()
        .ack(EXTENDED_HEADERS)
        .then(context(SET_META_CONTEXT, 1, "base:allocation"))
        .ack(SET_META_CONTEXT)
        .export(GO, 1, 1);
    let negotiated = peer.run(Connect::new(settings)).success();
    assert_eq!(negotiated.reply_style, ReplyStyle::Extended);
    assert_eq!(negotiated.contexts, named(&[(1, "base:allocation")]));
}

// O9
#[test]
fn a_context_reply_has_a_name_and_a_bound() {
    for got in [0, 4, 4101] {
        let peer = structured().then(reply_header(SET_META_CONTEXT, REP_META_CONTEXT, got));
        let expected = Expected::Between(5, 4100);
        let error = InvalidMessage::Length { message: Message::MetaContext, expected, got: u64::from(got) };
        assert_eq!(peer.run(Connect::new(settings(&["base:allocation"]))).error(), error.into());
    }
    let field = Field::ContextName;
    for (name, error) in [(b"\xff", InvalidMessage::NotUtf8 { field }), (b"\0", InvalidMessage::HasNul { field })] {
        let peer = structured().then(reply(SET_META_CONTEXT, REP_META_CONTEXT, &join(&[&[0; 4], name])));
        assert_eq!(peer.run(Connect::new(settings(&["base:allocation"]))).error(), error.into());
    }
}

// O9
#[test]
fn another_context_than_the_one_asked_for_is_a_breach() {
    for answer in [&[(1, "base:allocatio")][..], &[(1, "base:allocation"), (2, "x\ny:z")]] {
        let run = select(&["base:allocation"], answer);
        let got = answer[answer.len() - 1].1.to_owned();
        let error = run.error();
        assert_eq!(error, PeerMisbehaved::WrongContext { asked: "base:allocation".to_owned(), got }.into());
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

// O9
#[test]
fn the_context_asked_for_comes_once() {
    let run = select(&["base:allocation"], &[(1, "base:allocation"), (2, "base:allocation")]);
    assert_eq!(run.error(), PeerMisbehaved::SeveralContexts { asked: "base:allocation".to_owned() }.into());
}

#[test]
fn queries_that_may_select_several_do() {
    let bitmaps = [(4, "qemu:dirty-bitmap:b0"), (9, "qemu:dirty-bitmap:b1")];
    for queries in [&["qemu:dirty-bitmap:"][..], &["x-own:whatever"], &["base:allocation", "qemu:dirty-bitmap:b0"]] {
        let run = select(queries, &bitmaps);
        assert_eq!(run.success().contexts, named(&bitmaps), "{queries:?}");
    }
}

// "each with a unique metadata context ID" (spec, `NBD_OPT_SET_META_CONTEXT`)
#[test]
fn ids_are_unique() {
    let run = select(&["a:", "b:"], &[(1, "a:1"), (2, "b:1"), (1, "b:2")]);
    assert_eq!(run.error(), PeerMisbehaved::ContextIdTwice { id: ContextId(1) }.into());
}

#[test]
fn any_number_of_contexts_with_any_queries() {
    let names: Vec<String> = (0..1000).map(|n| format!("x-many:{n}\u{1F4BE}")).collect();
    let odd = ["", ":", "no colon", "base:", "qemu:", "a b:c"];
    let queries: Vec<&str> = names.iter().map(String::as_str).chain(odd).collect();
    let contexts: Vec<(u32, &str)> = (0..1000).zip(queries.iter().copied()).rev().collect();
    let run = select(&queries, &contexts);
    let sent = [
        client_flags(3),
        option(STRUCTURED_REPLY, b""),
        ask_contexts(SET_META_CONTEXT, "disk", &queries),
        ask_info(GO, "disk", &[]),
    ];
    assert_eq!(run.clear, sent.concat());
    let negotiated = run.success();
    assert_eq!(negotiated.contexts, named(&contexts), "in the server's order");
    assert_eq!(negotiated.context("x-many:999\u{1F4BE}").map(|context| context.id), Some(ContextId(999)));
}

/// Lists contexts before `GO`.
fn list(answers: &[&[u8]]) -> Outcome<Negotiated> {
    let settings = bare("disk").with_structured_replies(true).with_list_contexts(true);
    structured().then(answers.concat()).export(GO, 1, 1).run(Connect::new(settings))
}

fn listed(names: &[&str]) -> Vec<u8> {
    // The ids of a list mean nothing, so they may well be equal.
    names.iter().flat_map(|name| context(LIST_META_CONTEXT, 0, name)).chain(bytes::ack(LIST_META_CONTEXT)).collect()
}

fn list_sent(rounds: &[&[&str]]) -> Vec<u8> {
    let rounds: Vec<u8> = rounds.iter().flat_map(|queries| ask_contexts(LIST_META_CONTEXT, "disk", queries)).collect();
    join(&[&client_flags(3), &option(STRUCTURED_REPLY, b""), &rounds, &ask_info(GO, "disk", &[])])
}

// O10
#[test]
fn a_list_without_a_query_is_a_list_of_all() {
    let run = list(&[&listed(&["base:allocation", "qemu:allocation-depth"])]);
    assert_eq!(run.clear, list_sent(&[&[]]));
    let negotiated = run.success();
    assert_eq!(negotiated.available_contexts.unwrap(), ["base:allocation", "qemu:allocation-depth"]);
    assert_eq!(negotiated.contexts, [], "listing selects nothing");
}

// O10
#[test]
fn forgotten_qemu_contexts_are_asked_for_by_name() {
    let run = list(&[&listed(&["base:allocation"]), &listed(&["qemu:dirty-bitmap:b0", "base:allocation"])]);
    assert_eq!(run.clear, list_sent(&[&[], &["qemu:"]]));
    assert_eq!(run.success().available_contexts.unwrap(), ["base:allocation", "qemu:dirty-bitmap:b0"]);
}

// O10
#[test]
fn a_server_without_qemu_contexts_is_asked_twice_and_no_more() {
    let run = list(&[&listed(&["base:allocation"]), &listed(&[])]);
    assert_eq!(run.clear, list_sent(&[&[], &["qemu:"]]));
    assert_eq!(run.success().available_contexts.unwrap(), ["base:allocation"]);
}

// O10
#[test]
fn an_empty_list_is_not_asked_for_again() {
    let run = list(&[&listed(&[])]);
    assert_eq!(run.clear, list_sent(&[&[]]));
    assert_eq!(run.success().available_contexts.unwrap(), [""; 0]);
}

// O10, R4
#[test]
fn a_refused_second_round_leaves_the_first() {
    let second =
        join(&[&context(LIST_META_CONTEXT, 0, "qemu:dropped"), &bytes::refused(LIST_META_CONTEXT, bytes::TOO_BIG)]);
    let run = list(&[&listed(&["base:allocation"]), &second]);
    assert_eq!(run.clear, list_sent(&[&[], &["qemu:"]]));
    assert_eq!(run.success().available_contexts.unwrap(), ["base:allocation"]);
}

#[test]
fn two_long_rounds_are_joined_in_no_time() {
    // Each round is as long as the limit allows. Comparing each name with each takes minutes.
    let names: Vec<String> = (0..60_000).map(|n| format!("x:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let run = list(&[&listed(&names), &listed(&names)]);
    assert_eq!(run.success().available_contexts.unwrap(), names);
}
