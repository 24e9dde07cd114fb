//! Bounds on what a server may send.

use nbd_proto::error::{Error, Expected, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::{Connect, Flow, HandshakeSettings, List, Status};
use nbd_proto::limits::{HandshakeLimits, MIN_INPUT_BUFFER};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{
    self, GO, LIST, LIST_META_CONTEXT, REP_INFO, SET_META_CONTEXT, STRUCTURED_REPLY, UNSUP, ack, context, info, join,
    reply, reply_header, server,
};
use crate::engine::{Engine, done};
use crate::peer::{Peer, bare, bare_list};

fn replies(limit: u32) -> HandshakeLimits {
    HandshakeLimits::default().with_replies_per_option(limit)
}

fn payload(limit: u64) -> HandshakeLimits {
    HandshakeLimits::default().with_reply_bytes(limit)
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let limits = HandshakeLimits::default();
    assert_eq!((limits.replies_per_option, limits.reply_bytes), (65_536, 16 << 20));
}

#[test]
fn one_option_may_bring_so_many_replies_and_no_more() {
    let list = |count: usize| Peer::fixed().then(server("x", "").repeat(count));
    let settings = || bare_list().with_limits(replies(3));
    assert_eq!(list(3).ack(LIST).run(List::new(settings())).success().exports.len(), 3);
    let error = list(4).ack(LIST).run(List::new(settings())).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplies { option: OptionCode::LIST, limit: 3 }.into());
    assert!(error.to_string().contains("NBD_OPT_LIST brought more than 3 replies; raise the limit"), "{error}");
    // An endless list ends at the default limit as well.
    let error = list(65_537).run(List::new(bare_list())).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplies { option: OptionCode::LIST, limit: 65_536 }.into());
}

#[test]
fn each_option_counts_for_itself_and_its_last_reply_does_not_count() {
    let mut engine = Engine::new(HandshakeSettings::default().with_limits(replies(1)));
    engine.feed(&bytes::greeting(3)).unwrap();
    for _ in 0..3 {
        engine.choose(&OptionRequest::List, &bytes::option(LIST, b""));
        assert_eq!(engine.answers(&join(&[&server("x", ""), &ack(LIST)])).len(), 2);
        engine.choose(&OptionRequest::List, &bytes::option(LIST, b""));
        assert_eq!(engine.answers(&join(&[&server("x", ""), &bytes::refused(LIST, UNSUP)])).len(), 2);
    }
}

#[test]
fn no_reply_at_all_may_be_the_limit() {
    let run = Peer::fixed().ack(LIST).run(List::new(bare_list().with_limits(replies(0))));
    assert_eq!(run.success().exports, []);
}

#[test]
fn every_kind_of_reply_counts() {
    let settings = bare("").with_structured_replies(true).with_list_contexts(true).with_limits(replies(1));
    let too_many = |option| Error::from(PeerMisbehaved::TooManyReplies { option: OptionCode(option), limit: 1 });
    let listed = context(LIST_META_CONTEXT, 0, "qemu:x").repeat(2);
    let run = Peer::fixed().ack(STRUCTURED_REPLY).then(listed).run(Connect::new(settings));
    assert_eq!(run.error(), too_many(LIST_META_CONTEXT));

    let settings = bare("").with_structured_replies(true).with_meta_context("x-all:").with_limits(replies(1));
    let set = [context(SET_META_CONTEXT, 0, "x-all:0"), context(SET_META_CONTEXT, 1, "x-all:1")].concat();
    let run = Peer::fixed().ack(STRUCTURED_REPLY).then(set).run(Connect::new(settings));
    assert_eq!(run.error(), too_many(SET_META_CONTEXT));

    // Known and unknown information alike.
    for second in [bytes::info_export(GO, 1, 1), info(GO, 0x99, b"")] {
        let peer = Peer::fixed().then(bytes::info_export(GO, 1, 1)).then(second).ack(GO);
        assert_eq!(peer.run(Connect::new(bare("").with_limits(replies(1)))).error(), too_many(GO));
    }
}

#[test]
fn all_options_together_may_bring_so_many_bytes() {
    // 12 bytes of NBD_INFO_EXPORT, and 8 of a refusal before them.
    let peer = Peer::fixed().then(reply(STRUCTURED_REPLY, UNSUP, b"8 bytes!")).export(GO, 1, 1);
    let settings = || bare("").with_structured_replies(true);
    peer.run(Connect::new(settings().with_limits(payload(20)))).success();
    let error = peer.run(Connect::new(settings().with_limits(payload(19)))).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplyBytes { limit: 19 }.into());
    assert!(error.to_string().contains("more than 19 bytes; raise the limit"), "{error}");
    let error = peer.run(Connect::new(settings().with_limits(payload(7)))).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplyBytes { limit: 7 }.into());
}

#[test]
fn bytes_count_across_the_switch_to_tls() {
    let peer = Peer::fixed().ack(bytes::STARTTLS).in_tls().then(server("12345678", "")).ack(LIST);
    let settings = || bare_list().with_tls(nbd_proto::handshake::TlsPolicy::Required);
    peer.run(List::new(settings().with_limits(payload(12)))).success();
    let error = peer.run(List::new(settings().with_limits(payload(11)))).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplyBytes { limit: 11 }.into());
}

#[test]
fn long_lists_stay_below_the_default_limit_of_bytes() {
    let entry = server(&"x".repeat(4096), &"y".repeat(4096));
    let error = Peer::fixed().then(entry.repeat(2100)).run(List::new(bare_list())).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplyBytes { limit: 16 << 20 }.into());
}

#[test]
fn skipped_information_counts_before_it_comes() {
    let peer = Peer::fixed().then(reply_header(GO, REP_INFO, 101)).then([0, 0x99]);
    let error = peer.run(Connect::new(bare("").with_limits(payload(100)))).error();
    assert_eq!(error, PeerMisbehaved::TooManyReplyBytes { limit: 100 }.into());
}

// O5
#[test]
fn an_unknown_information_of_a_mebibyte_is_skipped_as_it_comes() {
    let longest = info(GO, 0x99, &vec![0xa5; (1 << 20) - 2]);
    let mut engine = Engine::new(HandshakeSettings::default());
    engine.feed(&bytes::greeting(3)).unwrap();
    engine.choose(&crate::engine::go("", &[]), &bytes::ask_info(GO, "", &[]));
    let mut out = Vec::new();
    // The header and the type have to be seen; from there on every piece is gone at once.
    let first = engine.handshake.input(&longest[..22], &mut out).unwrap();
    assert_eq!((first.consumed, first.event), (20, None));
    let mut from = 20;
    for length in [1, 2, 3, 4096, 100_000].into_iter().cycle() {
        let piece = &longest[from..longest.len().min(from + length)];
        let advance = engine.handshake.input(piece, &mut out).unwrap();
        assert_eq!((advance.consumed, advance.event), (piece.len(), None));
        from += advance.consumed;
        if from == longest.len() {
            break;
        }
    }
    assert_eq!(engine.status(), Status::NeedInput);
    let end = join(&[&bytes::info_export(GO, 3, 1), &ack(GO)]);
    assert_eq!(engine.answers(&end)[1], done(GO));
}

// O5
#[test]
fn a_longer_one_is_not() {
    let peer = Peer::fixed().then(reply_header(GO, REP_INFO, (1 << 20) + 1));
    let expected = Expected::Between(2, 1 << 20);
    let error = InvalidMessage::Length { message: Message::Info, expected, got: (1 << 20) + 1 };
    assert_eq!(peer.run(Connect::new(bare(""))).error(), error.into());
}

/// Whatever a header claims, a full buffer behind it brings the engine on.
#[test]
fn a_full_buffer_always_brings_progress() {
    let kinds = [1, 2, 3, 4, 5, 0x7fff_ffff, UNSUP, 0xffff_ffff];
    let lengths =
        [0, 1, 2, 4, 5, 12, 14, 4096, 4098, 4100, 8196, 8197, 16_364, 16_365, 1 << 20, (1 << 20) + 1, u32::MAX];
    for request in crate::interactive::every_option("disk") {
        for (kind, length) in kinds.into_iter().flat_map(|kind| lengths.map(|length| (kind, length))) {
            for filler in [0, 1, 2, 3, 0xff] {
                let mut engine = Engine::fixed(nbd_proto::handshake::TlsPolicy::Opportunistic);
                if request.option() == OptionCode::SET_META_CONTEXT {
                    engine.agree(&OptionRequest::StructuredReply);
                }
                engine.handshake.choose(&request, &mut Vec::new()).unwrap();
                let mut input = reply_header(request.option().0, kind, length);
                // The second byte is the low half of an information's type.
                input.extend([0, filler]);
                input.resize(MIN_INPUT_BUFFER, filler);
                if let Ok(advance) = engine.handshake.input(&input, &mut Vec::new()) {
                    let waits = engine.status() == Status::NeedInput;
                    assert!(advance.consumed > 0 || !waits, "{request:?} {kind:#x} {length} {filler}");
                }
            }
        }
    }
}

#[test]
fn the_smallest_buffer_is_large_enough_for_every_message() {
    let name = "n".repeat(4096);
    let settings = bare(&name).with_structured_replies(true).with_meta_context(&*name).with_list_contexts(true);
    let peer = Peer::says(bytes::greeting(1))
        .then(reply(STRUCTURED_REPLY, 1, b""))
        .then(context(LIST_META_CONTEXT, 0, &name))
        .then(reply(LIST_META_CONTEXT, UNSUP, name.as_bytes()))
        .then(context(SET_META_CONTEXT, 0, &name))
        .ack(SET_META_CONTEXT)
        .then(info(GO, 1, name.as_bytes()))
        .then(info(GO, 2, name.as_bytes()))
        .then(info(GO, 0x99, &vec![0; 1 << 19]))
        .then(reply(GO, UNSUP, name.as_bytes()))
        .then(server(&name, &name))
        .ack(LIST)
        .then(bytes::export_facts(1, 1))
        .then([0; 124]);
    // A driver's buffer of that size: filled up, drained, moved to its start.
    let (mut flow, mut out, mut from, mut to) = (Connect::new(settings), Vec::new(), 0, 0);
    while flow.status() == Status::NeedInput {
        match flow.input(&peer.clear[from..to], &mut out).unwrap() {
            0 => {
                assert!(to - from < MIN_INPUT_BUFFER, "no progress");
                to = peer.clear.len().min(from + MIN_INPUT_BUFFER);
            }
            consumed => from += consumed,
        }
    }
    assert_eq!(from, peer.clear.len());
    assert_eq!(flow.finish().unwrap().contexts.len(), 1);
}
