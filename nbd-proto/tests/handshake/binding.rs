//! Selected contexts: bound to the name of an export, and forgotten.

use nbd_proto::handshake::{MetaContext, TlsPolicy};
use nbd_proto::wire::number::ContextId;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{
    self, GO, LIST_META_CONTEXT, SET_META_CONTEXT, STARTTLS, TOO_BIG, ack, ask_contexts, ask_info, context, join,
    option,
};
use crate::engine::{Engine, done, failed, go, list_contexts, set};

pub(crate) fn chosen() -> Vec<MetaContext> {
    vec![MetaContext { id: ContextId(5), name: "base:allocation".to_owned() }]
}

pub(crate) fn select(engine: &mut Engine, export: &str) {
    engine.choose(&set(export, &["base:allocation"]), &ask_contexts(SET_META_CONTEXT, export, &["base:allocation"]));
    let answer = context(SET_META_CONTEXT, 5, "base:allocation");
    assert_eq!(engine.answers(&answer).len(), 1);
    assert_eq!(engine.handshake.contexts(), [], "not yet");
    assert_eq!(engine.answers(&ack(SET_META_CONTEXT)), [done(SET_META_CONTEXT)]);
    assert_eq!(engine.handshake.contexts(), chosen());
}

fn with_contexts(export: &str) -> Engine {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.agree(&OptionRequest::StructuredReply);
    select(&mut engine, export);
    engine
}

#[test]
fn contexts_count_for_the_export_they_were_selected_for() {
    assert_eq!(with_contexts("disk").go("disk").contexts, chosen());
    assert_eq!(with_contexts("").go("").contexts, chosen());
    for (selected, entered) in [("disk", "Disk"), ("disk", ""), ("", "disk")] {
        assert_eq!(with_contexts(selected).go(entered).contexts, []);
    }
}

#[test]
fn contexts_survive_what_does_not_touch_them() {
    let mut engine = with_contexts("disk");
    engine.choose(&go("other", &[]), &ask_info(GO, "other", &[]));
    engine.answers(&bytes::refused(GO, bytes::UNKNOWN));
    engine.choose(&list_contexts("disk", &[]), &ask_contexts(LIST_META_CONTEXT, "disk", &[]));
    engine.answers(&join(&[&context(LIST_META_CONTEXT, 0, "qemu:x"), &ack(LIST_META_CONTEXT)]));
    engine.agree(&OptionRequest::List);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    engine.answers(&bytes::refused(STARTTLS, bytes::POLICY));
    assert_eq!(engine.handshake.contexts(), chosen());
    assert_eq!(engine.go("disk").contexts, chosen());
}

#[test]
fn a_later_choice_replaces_an_earlier_one() {
    let mut engine = with_contexts("disk");
    engine.choose(&set("disk", &["x-a:1", "x-b:1"]), &ask_contexts(SET_META_CONTEXT, "disk", &["x-a:1", "x-b:1"]));
    engine.answers(&join(&[&context(SET_META_CONTEXT, 5, "x-b:1"), &ack(SET_META_CONTEXT)]));
    let expected = [MetaContext { id: ContextId(5), name: "x-b:1".to_owned() }];
    assert_eq!(engine.handshake.contexts(), expected);
    assert_eq!(engine.go("disk").contexts, expected);

    let mut engine = with_contexts("disk");
    engine.choose(&set("disk", &[]), &ask_contexts(SET_META_CONTEXT, "disk", &[]));
    engine.answers(&ack(SET_META_CONTEXT));
    assert_eq!(engine.go("disk").contexts, []);
}

#[test]
fn a_failing_choice_replaces_an_earlier_one_too() {
    let mut engine = with_contexts("disk");
    engine.choose(&set("disk", &["base:allocation"]), &ask_contexts(SET_META_CONTEXT, "disk", &["base:allocation"]));
    let answer = join(&[&context(SET_META_CONTEXT, 6, "base:allocation"), &bytes::refused(SET_META_CONTEXT, TOO_BIG)]);
    assert_eq!(engine.answers(&answer)[1], failed(SET_META_CONTEXT, TOO_BIG, ""));
    assert_eq!(engine.handshake.contexts(), []);
    assert_eq!(engine.go("disk").contexts, []);
}

#[test]
fn contexts_are_forgotten_on_starttls() {
    let mut engine = with_contexts("disk");
    engine.start_tls();
    assert_eq!(engine.handshake.contexts(), []);
    engine.agree(&OptionRequest::StructuredReply);
    assert_eq!(engine.go("disk").contexts, []);
}

#[test]
fn half_a_selection_is_not_told_after_an_error() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.agree(&OptionRequest::StructuredReply);
    let query = ["base:allocation"];
    engine.choose(&set("disk", &query), &ask_contexts(SET_META_CONTEXT, "disk", &query));
    engine.answers(&context(SET_META_CONTEXT, 5, "base:allocation"));
    engine.handshake.eof();
    assert_eq!(engine.handshake.contexts(), []);
}
