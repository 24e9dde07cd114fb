//! `LIST_META_CONTEXT` and `SET_META_CONTEXT`.

use nbd_proto::handshake::{Negotiated, Offer, ServerHandshakeSettings, ServerStatus};
use nbd_proto::wire::number::{ContextId, OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes::{self, go, info, list_contexts, set_contexts};
use crate::session::{Session, look_up, plain};

fn offer() -> Offer {
    ["base:allocation", "x-a:one", "x-a:two", "x-b:x-a:one"].into_iter().fold(plain(), Offer::with_context)
}

/// The names that an answer brings, and their ids.
#[track_caller]
fn named(option: OptionCode, mut answer: &[u8]) -> Vec<(ContextId, String)> {
    use nbd_proto::wire::option_reply::OptionReplyHeader;
    let mut names = Vec::new();
    while let Some((header, prefix)) = OptionReplyHeader::parse(answer).unwrap() {
        let (payload, rest) = answer[prefix..].split_at(header.length as usize);
        assert_eq!(header.option, option);
        match OptionReply::parse(header.reply, payload).unwrap() {
            OptionReply::MetaContext { id, name } => names.push((id, name.to_owned())),
            OptionReply::Ack if rest.is_empty() => return names,
            other => panic!("{other:?}"),
        }
        answer = rest;
    }
    panic!("no last answer");
}

#[track_caller]
fn listed(queries: &[&str]) -> Vec<String> {
    let answer = Session::structured().offered(&list_contexts("disk", queries), &offer());
    let named = named(OptionCode::LIST_META_CONTEXT, &answer);
    assert!(named.iter().all(|(id, _)| *id == ContextId(0)));
    named.into_iter().map(|(_, name)| name).collect()
}

/// Sets contexts of "disk", and enters the transmission phase with it.
#[track_caller]
fn set(queries: &[&str]) -> Negotiated {
    let mut session = Session::structured();
    let answer = session.offered(&set_contexts("disk", queries), &offer());
    let named = named(OptionCode::SET_META_CONTEXT, &answer);
    session.offered(&go("disk", &[]), &offer());
    let negotiated = session.negotiated();
    let agreed: Vec<_> = negotiated.contexts.iter().map(|context| (context.id, context.name.clone())).collect();
    assert_eq!(agreed, named, "what was told is what was agreed");
    let mut ids: Vec<_> = named.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), named.len(), "unique ids");
    assert!(!ids.contains(&ContextId(0)));
    negotiated
}

fn names(negotiated: &Negotiated) -> Vec<&str> {
    negotiated.contexts.iter().map(|context| context.name.as_str()).collect()
}

#[test]
fn the_caller_is_asked() {
    let mut session = Session::structured();
    let event = session.ask(&list_contexts("disk", &[]));
    assert_eq!(event, look_up(OptionCode::LIST_META_CONTEXT, "disk"));
    session.offer(&plain()).unwrap();
    assert_eq!(session.sent(), bytes::ack(OptionCode::LIST_META_CONTEXT));
    let event = session.ask(&set_contexts("disk", &["base:allocation"]));
    assert_eq!(event, look_up(OptionCode::SET_META_CONTEXT, "disk"));
    session.offer(&plain()).unwrap();
    assert_eq!(session.sent(), bytes::ack(OptionCode::SET_META_CONTEXT));
    assert_eq!(session.server.status(), ServerStatus::NeedInput);
}

#[test]
fn no_query_lists_all() {
    assert_eq!(listed(&[]), ["base:allocation", "x-a:one", "x-a:two", "x-b:x-a:one"]);
}

#[test]
fn a_query_lists_the_context_of_that_name() {
    assert_eq!(listed(&["x-a:two"]), ["x-a:two"]);
    assert_eq!(listed(&["x-a:t"]), [""; 0]);
    assert_eq!(listed(&["x-b:x-a:"]), [""; 0], "not a whole namespace");
}

#[test]
fn a_namespace_alone_lists_all_of_it() {
    assert_eq!(listed(&["x-a:"]), ["x-a:one", "x-a:two"]);
    assert_eq!(listed(&["x:"]), [""; 0]);
}

#[test]
fn a_context_that_several_queries_find_is_listed_once() {
    assert_eq!(listed(&["x-a:one", "x-a:", "x-a:one", "base:allocation"]), ["base:allocation", "x-a:one", "x-a:two"]);
}

#[test]
fn what_nobody_knows_is_ignored() {
    assert_eq!(listed(&["nobody:knows", "base:unknown", "nobody:", "x-a:one"]), ["x-a:one"]);
    assert_eq!(names(&set(&["nobody:knows", "base:unknown", "x-a:one"])), ["x-a:one"]);
}

#[test]
fn contexts_are_selected_by_their_names() {
    assert_eq!(names(&set(&["x-a:one"])), ["x-a:one"]);
    assert_eq!(names(&set(&["x-a:two", "base:allocation"])), ["base:allocation", "x-a:two"]);
}

#[test]
fn a_context_that_is_asked_for_twice_is_selected_once() {
    assert_eq!(names(&set(&["x-a:one", "base:allocation", "x-a:one"])), ["base:allocation", "x-a:one"]);
}

#[test]
fn neither_a_namespace_nor_no_query_selects_anything() {
    assert_eq!(names(&set(&["x-a:"])), [""; 0]);
    assert_eq!(names(&set(&[])), [""; 0]);
}

#[test]
fn they_need_replies_in_chunks() {
    let mut session = Session::fixed();
    for request in [list_contexts("disk", &[]), set_contexts("disk", &["base:allocation"])] {
        assert_eq!(session.refused(&bytes::option(&request)), ReplyType::ERR_INVALID);
    }
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer());
    session.offered(&go("disk", &[]), &offer());
    assert_eq!(names(&session.negotiated()), ["base:allocation"]);
}

#[test]
fn they_are_unknown_where_no_replies_in_chunks_are_had() {
    let settings = ServerHandshakeSettings::default().with_structured_replies(false).with_extended_headers(false);
    let mut session = Session::greeted(settings, 3);
    assert_eq!(session.refused(&bytes::option(&list_contexts("", &[]))), ReplyType::ERR_UNSUP);
}

#[test]
fn contexts_of_another_export_do_not_count() {
    let mut session = Session::structured();
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer());
    session.offered(&go("another", &[]), &offer());
    assert_eq!(names(&session.negotiated()), [""; 0]);
}

/// A session where a context is set, and `then` comes.
#[track_caller]
fn left_after(then: impl FnOnce(&mut Session)) -> Vec<String> {
    let mut session = Session::structured();
    session.offered(&set_contexts("disk", &["base:allocation"]), &offer());
    then(&mut session);
    session.offered(&go("disk", &[]), &offer());
    session.negotiated().contexts.into_iter().map(|context| context.name).collect()
}

#[test]
fn other_options_leave_the_selection_alone() {
    let left = left_after(|session| {
        session.offered(&info("another", &[]), &offer());
        session.offered(&list_contexts("another", &["x-a:"]), &offer());
        session.acknowledged(&OptionRequest::ExtendedHeaders);
        assert_eq!(session.refused(&bytes::raw(OptionCode::LIST, b"x")), ReplyType::ERR_INVALID);
    });
    assert_eq!(left, ["base:allocation"]);
}

#[test]
fn a_new_selection_replaces_the_old_one() {
    let left = left_after(|session| {
        session.offered(&set_contexts("disk", &["x-a:one"]), &offer());
    });
    assert_eq!(left, ["x-a:one"]);
}

#[test]
fn a_selection_that_is_refused_drops_the_old_one() {
    let left = left_after(|session| {
        session.ask(&set_contexts("disk", &["base:allocation"]));
        session.refuse(ReplyType::ERR_UNKNOWN, "").unwrap();
        assert_eq!(session.sent(), bytes::error(OptionCode::SET_META_CONTEXT, ReplyType::ERR_UNKNOWN, ""));
    });
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_selection_that_is_malformed_drops_the_old_one() {
    let left = left_after(|session| {
        assert_eq!(session.refused(&bytes::raw(OptionCode::SET_META_CONTEXT, b"x")), ReplyType::ERR_INVALID);
    });
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_selection_with_a_query_that_is_none_drops_the_old_one() {
    let left = left_after(|session| {
        assert_eq!(session.refused(&bytes::option(&set_contexts("disk", &["base"]))), ReplyType::ERR_INVALID);
    });
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_selection_that_is_too_big_drops_the_old_one() {
    let left = left_after(|session| {
        let long = bytes::raw(OptionCode::SET_META_CONTEXT, &vec![0; 20_000]);
        assert_eq!(session.refused(&long), ReplyType::ERR_TOO_BIG);
    });
    assert_eq!(left, [""; 0]);
}
