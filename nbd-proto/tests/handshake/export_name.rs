//! `NBD_OPT_EXPORT_NAME`, and the way there when `GO` is unsupported.

use nbd_proto::error::{Error, PeerMisbehaved, Unavailable};
use nbd_proto::handshake::{Connect, HandshakeStyle, Negotiated, ReplyStyle};

use crate::bytes::{
    self, ABORT, ERRORS, EXPORT_NAME, EXTENDED_HEADERS, GO, LIST, POLICY, STRUCTURED_REPLY, TLS_REQD, UNSUP, ask_info,
    client_flags, export_facts, greeting, join, option, refused, server,
};
use crate::engine::refusal;
use crate::peer::{Outcome, Peer, bare};

/// A server that does not know `GO`, asked for an export.
fn fallback(export: &str, list: &[u8], rest: &[u8]) -> Outcome<Negotiated> {
    Peer::fixed().refuse(GO, UNSUP).then(list).then(rest).run(Connect::new(bare(export)))
}

fn asked_for(export: &str) -> Vec<u8> {
    join(&[&client_flags(3), &ask_info(GO, export, &[]), &option(LIST, b"")])
}

// O7
#[test]
fn an_export_in_the_list_is_chosen_by_name() {
    let list = join(&[&server("a", ""), &server("disk", "x"), &bytes::ack(LIST)]);
    let run = fallback("disk", &list, &export_facts(77, 0x0101));
    assert_eq!(run.clear, join(&[&asked_for("disk"), &option(EXPORT_NAME, b"disk")]));
    let negotiated = run.success();
    assert_eq!((negotiated.info.size, negotiated.info.flags.bits()), (77, 0x0101));
    assert_eq!((&negotiated.export[..], negotiated.handshake_style), ("disk", HandshakeStyle::FixedNewstyle));
    assert_eq!((negotiated.info.block_sizes, negotiated.info.canonical_name), (None, None));
}

// O7, R5
#[test]
fn an_export_that_is_not_in_the_list_is_not_there() {
    let list = join(&[&server("a", ""), &server("Disk", ""), &bytes::ack(LIST)]);
    let run = fallback("disk", &list, b"");
    assert_eq!(run.clear, join(&[&asked_for("disk"), &option(ABORT, b"")]));
    let error = run.error();
    assert_eq!(error, Unavailable::NoSuchExport { name: "disk".to_owned(), listed: 2 }.into());
    assert!(error.to_string().starts_with("the server has no export named \"disk\" (it lists 2)"), "{error}");
    // The default export is no exception.
    let run = fallback("", &list, b"");
    assert_eq!(run.error(), Unavailable::NoSuchExport { name: String::new(), listed: 2 }.into());
}

// O7
#[test]
fn a_server_without_a_list_is_believed_to_have_the_export() {
    let partial = join(&[&server("a", ""), &refused(LIST, UNSUP)]);
    for list in [bytes::ack(LIST), refused(LIST, UNSUP), refused(LIST, POLICY), partial] {
        let run = fallback("disk", &list, &export_facts(77, 1));
        assert_eq!(run.clear, join(&[&asked_for("disk"), &option(EXPORT_NAME, b"disk")]));
        assert_eq!(run.success().info.size, 77);
    }
}

// O7, R4
#[test]
fn any_other_error_to_the_list_ends_the_attempt() {
    for kind in ERRORS.into_iter().filter(|kind| ![UNSUP, POLICY].contains(kind)) {
        let run = fallback("disk", &refused(LIST, kind), b"");
        assert_eq!(run.clear, join(&[&asked_for("disk"), &option(ABORT, b"")]));
        let expected: Error = match kind {
            TLS_REQD => Unavailable::ServerRequiresTls(refusal(LIST, kind, "")).into(),
            _ => Unavailable::Refused(refusal(LIST, kind, "")).into(),
        };
        assert_eq!(run.error(), expected);
    }
}

// O7, R5
#[test]
fn there_is_no_way_back_from_extended_headers() {
    let peer = Peer::fixed().ack(EXTENDED_HEADERS).refuse(GO, UNSUP);
    let run = peer.run(Connect::new(bare("disk").with_extended_headers(true)));
    let sent = [client_flags(3), option(EXTENDED_HEADERS, b""), ask_info(GO, "disk", &[]), option(ABORT, b"")];
    assert_eq!(run.clear, sent.concat());
    assert_eq!(run.error(), PeerMisbehaved::ExtendedHeadersWithoutGo.into());
}

// O7: structured replies and contexts outlive the fallback.
#[test]
fn structured_replies_and_contexts_go_with_export_name_too() {
    let settings = bare("disk").with_structured_replies(true).with_meta_context("base:allocation");
    let peer = Peer::fixed()
        .ack(STRUCTURED_REPLY)
        .then(bytes::context(bytes::SET_META_CONTEXT, 3, "base:allocation"))
        .ack(bytes::SET_META_CONTEXT)
        .refuse(GO, UNSUP)
        .refuse(LIST, UNSUP)
        .then(export_facts(1, 1));
    let negotiated = peer.run(Connect::new(settings)).success();
    assert_eq!(negotiated.reply_style, ReplyStyle::Structured);
    assert_eq!(negotiated.context("base:allocation").map(|context| context.id.0), Some(3));
}

// O8
#[test]
fn zeroes_follow_unless_they_were_agreed_away() {
    for (flags, zeroes) in [(0, 124), (2, 0)] {
        let peer = Peer::says(greeting(flags)).then(export_facts(8, 1)).then(vec![0; zeroes]).then(b"next");
        for run in [peer.run(Connect::new(bare("disk"))), peer.run_bytewise(Connect::new(bare("disk")))] {
            assert_eq!(run.clear, join(&[&client_flags(u32::from(flags)), &option(EXPORT_NAME, b"disk")]));
            // Byte by byte, what follows has not come yet when the end is reached.
            assert_eq!(run.left, 4);
            assert_eq!(run.success().info.size, 8);
        }
    }
}

// O8
#[test]
fn fixed_newstyle_without_no_zeroes_has_them_too() {
    let peer = Peer::says(greeting(1)).refuse(GO, UNSUP).refuse(LIST, UNSUP).then(export_facts(8, 1));
    let whole = peer.clone().then([0xee; 124]).then(b"next").run(Connect::new(bare("")));
    assert_eq!(whole.left, 4);
    assert_eq!(whole.success().info.size, 8);
    let short = peer.then([0; 123]).run(Connect::new(bare("")));
    assert!(matches!(short.error(), Error::Ended(_)));
}

// O8: GO is never followed by zeroes.
#[test]
fn no_byte_behind_go_is_eaten() {
    let run = Peer::says(greeting(1)).export(GO, 1, 1).then([0; 124]).run(Connect::new(bare("")));
    assert_eq!(run.left, 124);
}

#[test]
fn a_server_that_hangs_up_on_a_name_may_not_have_it() {
    let run = fallback("a\nb", &bytes::ack(LIST), b"");
    let error = run.error();
    assert_eq!(error, Unavailable::ExportNameRejected { name: "a\nb".to_owned() }.into());
    assert!(error.to_string().contains("\"a\\nb\""), "{error}");
}
