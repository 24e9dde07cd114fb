//! Asking a server what it has.

use nbd_proto::error::{PeerMisbehaved, Unavailable};
use nbd_proto::handshake::{Flow, HandshakeStyle, List, ListSettings, ReplyStyle, Status};
use nbd_proto::wire::number::OptionCode;

use crate::bytes::{
    ABORT, ERRORS, EXTENDED_HEADERS, INFO, LIST, LIST_META_CONTEXT, SHUTDOWN, STRUCTURED_REPLY, UNSUP, ack,
    ask_contexts, ask_info, client_flags, context, greeting, info, info_block_size, info_export, join, oldstyle,
    option, refused, server,
};
use crate::engine::refusal;
use crate::peer::{Peer, bare_list};

fn settings() -> ListSettings {
    ListSettings::default().with_extended_headers(false)
}

fn two_exports() -> Peer {
    Peer::fixed().ack(STRUCTURED_REPLY).then(server("a", "first")).then(server("b", "")).ack(LIST)
}

fn asked(name: &str) -> Vec<u8> {
    ask_info(INFO, name, &[1, 2, 3])
}

// F2
#[test]
fn each_export_is_asked_for_its_details_and_its_contexts() {
    let peer = two_exports()
        .then(info_block_size(INFO, 1, 4096, 1 << 25))
        .then(info(INFO, 1, b"A"))
        .then(info(INFO, 2, b"The first"))
        .export(INFO, 100, 3)
        .then(context(LIST_META_CONTEXT, 0, "base:allocation"))
        .ack(LIST_META_CONTEXT)
        .then(context(LIST_META_CONTEXT, 0, "qemu:allocation-depth"))
        .ack(LIST_META_CONTEXT)
        .export(INFO, 200, 1)
        .ack(LIST_META_CONTEXT);
    for run in [peer.run(List::new(settings())), peer.run_bytewise(List::new(settings()))] {
        let sent = [
            client_flags(3),
            option(STRUCTURED_REPLY, b""),
            option(LIST, b""),
            asked("a"),
            ask_contexts(LIST_META_CONTEXT, "a", &[]),
            ask_contexts(LIST_META_CONTEXT, "a", &["qemu:"]),
            asked("b"),
            ask_contexts(LIST_META_CONTEXT, "b", &[]),
            option(ABORT, b""),
        ];
        assert_eq!(run.clear, sent.concat());
        assert_eq!(run.status, Status::Closed);
        let listing = run.success();
        assert_eq!((listing.handshake_style, listing.tls), (HandshakeStyle::FixedNewstyle, false));
        assert_eq!(listing.reply_style, ReplyStyle::Structured);
        let [a, b] = &listing.exports[..] else { panic!("{listing:?}") };
        let told = a.info.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((&a.name[..], &a.description[..], told.size, told.flags.bits()), ("a", "first", 100, 3));
        assert_eq!((told.canonical_name.as_deref(), told.description.as_deref()), (Some("A"), Some("The first")));
        assert_eq!(told.block_sizes.map(|sizes| sizes.preferred), Some(4096));
        assert_eq!(a.contexts, ["base:allocation", "qemu:allocation-depth"]);
        let told = b.info.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((&b.name[..], told.size, told.block_sizes), ("b", 200, None));
        assert_eq!(b.contexts, [""; 0]);
    }
}

// F2
#[test]
fn contexts_are_asked_for_with_structured_replies_only() {
    let peer = Peer::fixed().refuse(STRUCTURED_REPLY, UNSUP).then(server("a", "")).ack(LIST).export(INFO, 1, 1);
    let run = peer.run(List::new(settings()));
    let sent = [client_flags(3), option(STRUCTURED_REPLY, b""), option(LIST, b""), asked("a"), option(ABORT, b"")];
    assert_eq!(run.clear, sent.concat());
    assert_eq!(run.success().exports.len(), 1);
}

// F2
#[test]
fn contexts_are_asked_for_with_extended_headers_too() {
    let peer = Peer::fixed().ack(EXTENDED_HEADERS).then(server("a", "")).ack(LIST).export(INFO, 1, 1);
    let run = peer
        .then(context(LIST_META_CONTEXT, 0, "qemu:x"))
        .ack(LIST_META_CONTEXT)
        .run(List::new(ListSettings::default()));
    let listing = run.success();
    assert_eq!(listing.reply_style, ReplyStyle::Extended);
    assert_eq!(listing.exports[0].contexts, ["qemu:x"]);
}

// F2
#[test]
fn a_server_without_info_is_not_asked_again() {
    let run = two_exports().refuse(INFO, UNSUP).run(List::new(settings()));
    let sent = [client_flags(3), option(STRUCTURED_REPLY, b""), option(LIST, b""), asked("a"), option(ABORT, b"")];
    assert_eq!(run.clear, sent.concat());
    let exports = run.success().exports;
    let told: Vec<_> = exports.iter().map(|export| (&export.name[..], export.info.is_none())).collect();
    assert_eq!(told, [("a", true), ("b", true)]);
}

// F2
#[test]
fn another_refusal_marks_the_export_and_goes_on() {
    for kind in ERRORS.into_iter().filter(|kind| ![UNSUP, SHUTDOWN].contains(kind)) {
        let peer = two_exports()
            .then(info_export(INFO, 1, 1))
            .then(refused(INFO, kind))
            .export(INFO, 200, 1)
            .ack(LIST_META_CONTEXT);
        let run = peer.run(List::new(settings()));
        let sent = [
            client_flags(3),
            option(STRUCTURED_REPLY, b""),
            option(LIST, b""),
            asked("a"),
            asked("b"),
            ask_contexts(LIST_META_CONTEXT, "b", &[]),
            option(ABORT, b""),
        ];
        assert_eq!(run.clear, sent.concat(), "a refused export has no contexts to tell");
        let exports = run.success().exports;
        assert_eq!(exports[0].info, Some(Err(refusal(INFO, kind, ""))));
        assert_eq!(exports[1].info.as_ref().unwrap().as_ref().map(|info| info.size), Ok(200));
    }
}

// F2, R4
#[test]
fn a_server_on_its_way_out_ends_the_listing() {
    let run = two_exports().refuse(INFO, SHUTDOWN).run(List::new(settings()));
    assert!(run.clear.ends_with(&option(ABORT, b"")));
    assert_eq!(run.error(), Unavailable::Refused(refusal(INFO, SHUTDOWN, "")).into());
}

// F2
#[test]
fn an_empty_list_ends_at_once() {
    let run = Peer::fixed().ack(LIST).then(ack(ABORT)).run(List::new(settings().with_structured_replies(false)));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(LIST, b""), &option(ABORT, b"")]));
    assert_eq!(run.left, 20, "the reply to ABORT is not waited for");
    assert_eq!(run.success().exports, []);
}

// F2
#[test]
fn details_are_asked_for_as_the_settings_say() {
    let run = Peer::fixed().then(server("a", "")).ack(LIST).run(List::new(bare_list()));
    assert_eq!(run.clear, join(&[&client_flags(3), &option(LIST, b""), &option(ABORT, b"")]));
    assert_eq!(run.success().exports[0].info, None);
}

// F2
#[test]
fn the_end_of_the_stream_behind_abort_changes_nothing() {
    let script = Peer::fixed().ack(LIST).clear;
    let mut flow = List::new(bare_list());
    let (mut from, mut out) = (0, Vec::new());
    while flow.status() == Status::NeedInput {
        from += flow.input(&script[from..], &mut out).unwrap();
    }
    assert_eq!(flow.status(), Status::Closed);
    flow.eof();
    assert_eq!((flow.status(), flow.finish().unwrap().exports), (Status::Closed, vec![]));
}

// F3
#[test]
fn an_oldstyle_server_has_one_nameless_export() {
    let peer = Peer::says(oldstyle(0x5000, 0x0003)).then(b"junk");
    for run in [peer.run(List::new(ListSettings::default())), peer.run_bytewise(List::new(ListSettings::default()))] {
        // CMD_DISC: magic, no flags, command 2, cookie, offset and length zero.
        let disconnect = join(&[&[0x25, 0x60, 0x95, 0x13, 0, 0, 0, 2], &[0; 20]]);
        assert_eq!(run.clear, disconnect);
        assert_eq!((run.status, run.left), (Status::Closed, 4));
        let listing = run.success();
        assert_eq!((listing.handshake_style, listing.reply_style), (HandshakeStyle::Oldstyle, ReplyStyle::Simple));
        let [only] = &listing.exports[..] else { panic!("{listing:?}") };
        let told = only.info.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((&only.name[..], told.size, told.flags.bits()), ("", 0x5000, 3));
    }
}

// F3
#[test]
fn a_newstyle_server_that_is_not_fixed_cannot_be_asked() {
    for flags in [0, 2] {
        let run = Peer::says(greeting(flags)).run(List::new(ListSettings::default()));
        assert_eq!(run.clear, client_flags(u32::from(flags)), "ABORT cannot be sent");
        let error = run.error();
        assert_eq!(error, Unavailable::CannotList.into());
        assert!(error.to_string().contains("no way to list exports"), "{error}");
    }
}

#[test]
fn a_listing_gives_no_result_before_its_end() {
    assert!(List::new(bare_list()).finish().is_err());
}

// A listed name goes back to the server as it came; the empty one is a name like another.
#[test]
fn names_go_back_as_they_came() {
    let odd = "ü\u{202e} \"quoted\"\n";
    let peer = Peer::fixed().then(server(odd, "")).then(server("", "")).ack(LIST).export(INFO, 1, 1).export(INFO, 2, 1);
    let run = peer.run(List::new(settings().with_structured_replies(false)));
    let sent = [client_flags(3), option(LIST, b""), asked(odd), asked(""), option(ABORT, b"")];
    assert_eq!(run.clear, sent.concat());
    assert_eq!(run.success().exports[0].name, odd);
}

#[test]
fn a_demand_for_tls_inside_tls_ends_a_listing_as_well() {
    let peer = Peer::fixed().ack(crate::bytes::STARTTLS).in_tls().refuse(LIST, crate::bytes::TLS_REQD);
    let run = peer.run(List::new(bare_list().with_tls(nbd_proto::handshake::TlsPolicy::Required)));
    assert_eq!(run.error(), PeerMisbehaved::TlsRequiredInsideTls { option: OptionCode::LIST }.into());
}
