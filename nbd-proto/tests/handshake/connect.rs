//! The whole way to an export.

use nbd_proto::handshake::{Connect, ConnectSettings, Flow, HandshakeStyle, ReplyStyle, Status, TlsPolicy};
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::ContextId;

use crate::bytes::{
    EXTENDED_HEADERS, GO, LIST_META_CONTEXT, SET_META_CONTEXT, STARTTLS, STRUCTURED_REPLY, UNSUP, ack, ask_contexts,
    ask_info, client_flags, context, info, info_block_size, join, option,
};
use crate::peer::{Peer, bare};

/// A server that has everything, up to the transmission phase.
pub(crate) fn generous() -> Peer {
    Peer::fixed()
        .ack(STARTTLS)
        .in_tls()
        .refuse(EXTENDED_HEADERS, UNSUP)
        .ack(STRUCTURED_REPLY)
        .then(context(LIST_META_CONTEXT, 0, "base:allocation"))
        .then(context(LIST_META_CONTEXT, 0, "qemu:dirty-bitmap:b0"))
        .ack(LIST_META_CONTEXT)
        .then(context(SET_META_CONTEXT, 0x11, "base:allocation"))
        .then(context(SET_META_CONTEXT, 0x22, "qemu:dirty-bitmap:b0"))
        .ack(SET_META_CONTEXT)
        .then(info_block_size(GO, 512, 65_536, 1 << 26))
        .then(info(GO, 1, b"Disk"))
        .then(info(GO, 2, b"The disk"))
        .then(info(GO, 0x1234, b"news"))
        .export(GO, 1 << 40, 0x04ed)
}

/// Settings that ask for everything.
pub(crate) fn greedy() -> ConnectSettings {
    ConnectSettings::new("disk")
        .with_tls(TlsPolicy::Opportunistic)
        .with_list_contexts(true)
        .with_meta_context("base:allocation")
        .with_meta_context("qemu:dirty-bitmap:b0")
}

// F1
#[test]
fn all_that_can_be_asked_for_is_asked_for_in_order_and_collected() {
    let peer = generous();
    for run in [peer.run(Connect::new(greedy())), peer.run_bytewise(Connect::new(greedy()))] {
        assert_eq!(run.clear, join(&[&client_flags(3), &option(STARTTLS, b"")]));
        let sent = [
            option(EXTENDED_HEADERS, b""),
            option(STRUCTURED_REPLY, b""),
            ask_contexts(LIST_META_CONTEXT, "disk", &[]),
            ask_contexts(SET_META_CONTEXT, "disk", &["base:allocation", "qemu:dirty-bitmap:b0"]),
            ask_info(GO, "disk", &[1, 2, 3]),
        ];
        assert_eq!(run.tls.as_deref(), Some(&sent.concat()[..]));
        let negotiated = run.success();
        assert_eq!(negotiated.export, "disk");
        assert_eq!((negotiated.handshake_style, negotiated.tls), (HandshakeStyle::FixedNewstyle, true));
        assert_eq!(negotiated.reply_style, ReplyStyle::Structured);
        assert_eq!((negotiated.info.size, negotiated.info.flags.bits()), (1 << 40, 0x04ed));
        let sizes = BlockSizes { minimum: 512, preferred: 65_536, maximum: 1 << 26 };
        assert_eq!(negotiated.info.block_sizes, Some(sizes));
        assert_eq!(negotiated.info.canonical_name.as_deref(), Some("Disk"));
        assert_eq!(negotiated.info.description.as_deref(), Some("The disk"));
        assert_eq!(negotiated.context("qemu:dirty-bitmap:b0").map(|context| context.id), Some(ContextId(0x22)));
        assert_eq!(negotiated.contexts.len(), 2);
        assert_eq!(negotiated.available_contexts.unwrap(), ["base:allocation", "qemu:dirty-bitmap:b0"]);
    }
}

// F1
#[test]
fn the_defaults_ask_for_everything_but_tls_and_contexts() {
    let run = Peer::fixed().ack(EXTENDED_HEADERS).export(GO, 1, 1).run(Connect::new(ConnectSettings::new("")));
    let sent = [client_flags(3), option(EXTENDED_HEADERS, b""), ask_info(GO, "", &[1, 2, 3])];
    assert_eq!(run.clear, sent.concat());
    let negotiated = run.success();
    assert_eq!((negotiated.reply_style, negotiated.available_contexts), (ReplyStyle::Extended, None));
}

// F1: what follows belongs to the transmission phase.
#[test]
fn no_byte_behind_the_end_is_eaten() {
    let run = Peer::fixed().export(GO, 1, 1).then(ack(GO)).run(Connect::new(bare("")));
    assert_eq!((run.left, run.status), (20, Status::Ready));
    let mut flow = Connect::new(bare(""));
    let mut out = Vec::new();
    let script = Peer::fixed().export(GO, 1, 1).clear;
    let mut from = 0;
    while flow.status() == Status::NeedInput {
        from += flow.input(&script[from..], &mut out).unwrap();
    }
    assert_eq!(from, script.len());
    for _ in 0..2 {
        assert_eq!(flow.input(b"\x67\x44\x66\x98", &mut out), Ok(0));
    }
    assert_eq!(flow.finish().unwrap().info.size, 1);
}

#[test]
fn a_flow_gives_no_result_before_its_end() {
    let error = Connect::new(bare("")).finish().unwrap_err();
    assert_eq!(error.to_string(), "the handshake is not finished");
}

#[test]
fn a_name_that_cannot_be_sent_ends_the_attempt_with_a_courtesy() {
    for name in ["x".repeat(4097), "nul\0".to_owned()] {
        let run = Peer::fixed().run(Connect::new(bare(&name)));
        assert_eq!(run.clear, join(&[&client_flags(3), &option(crate::bytes::ABORT, b"")]));
        assert_eq!(run.error().to_string(), "an export name must be at most 4096 bytes without NUL");
    }
}

#[test]
fn an_empty_slice_is_a_legal_call_at_any_time() {
    let mut flow = Connect::new(bare(""));
    let mut out = Vec::new();
    assert_eq!(flow.input(b"", &mut out), Ok(0));
    for byte in Peer::fixed().clear.chunks(18) {
        assert_eq!(flow.input(byte, &mut out), Ok(18));
        assert_eq!(flow.input(b"", &mut out), Ok(0));
    }
    assert_eq!(flow.status(), Status::NeedInput);
}
