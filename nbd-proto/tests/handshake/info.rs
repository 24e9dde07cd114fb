//! `NBD_OPT_INFO` and `NBD_OPT_GO`: what is asked, what is told.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::{Connect, ConnectSettings, HandshakeEvent, Status, TlsPolicy};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::ExportFacts;
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{InfoType, OptionCode};
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes::{
    self, GO, INFO, REP_INFO, ack, ask_info, client_flags, info, info_block_size, info_export, join, reply,
    reply_header,
};
use crate::engine::{Engine, ask, done, failed};
use crate::peer::{Peer, bare};

fn go_error(peer: &Peer) -> nbd_proto::error::Error {
    peer.run(Connect::new(bare(""))).error()
}

// O2
#[test]
fn each_information_is_asked_for_as_the_settings_say() {
    for (names, sizes, expected) in
        [(false, false, &[][..]), (false, true, &[3]), (true, false, &[1, 2]), (true, true, &[1, 2, 3])]
    {
        let settings = bare("disk").with_names(names).with_block_sizes(sizes);
        let run = Peer::fixed().export(GO, 1, 1).run(Connect::new(settings));
        assert_eq!(run.clear, join(&[&client_flags(3), &ask_info(GO, "disk", expected)]));
        run.success();
    }
}

// O2
#[test]
fn an_information_needs_its_two_bytes() {
    for got in [0, 1] {
        let expected = Expected::Between(2, 1 << 20);
        let error = InvalidMessage::Length { message: Message::Info, expected, got };
        assert_eq!(go_error(&Peer::fixed().then(reply(GO, REP_INFO, &vec![0; got as usize]))), error.into());
    }
}

// O3
#[test]
fn export_is_exactly_twelve_bytes() {
    for got in [2, 4, 11, 13, 14, 4098, 4099, 1 << 20] {
        let payload = vec![0; got];
        let error =
            InvalidMessage::Length { message: Message::InfoExport, expected: Expected::Exactly(12), got: got as u64 };
        assert_eq!(go_error(&Peer::fixed().then(reply(GO, REP_INFO, &payload))), error.into());
    }
}

// O3
#[test]
fn size_and_flags_are_passed_on_as_they_are() {
    for (size, flags) in [(0, 1), (u64::MAX, 0xffff), (1 << 40, 0x0ff1)] {
        let negotiated = Peer::fixed().export(GO, size, flags).run(Connect::new(bare(""))).success();
        assert_eq!((negotiated.info.size, negotiated.info.flags.bits()), (size, flags));
    }
}

// O5
#[test]
fn an_information_nobody_knows_is_skipped_whole() {
    let peer = Peer::fixed()
        .then(info(GO, 4, b""))
        .then(info(GO, 0x7777, b"anything"))
        .then(info_export(GO, 9, 1))
        .then(info(GO, 0xffff, &[0; 4096]))
        .ack(GO);
    assert_eq!(peer.run(Connect::new(bare(""))).success().info.size, 9);
    assert_eq!(peer.run_bytewise(Connect::new(bare(""))).success().info.size, 9);
}

// O6
#[test]
fn success_without_the_export_is_a_breach() {
    let peer = Peer::fixed().then(info_block_size(GO, 1, 4096, 1 << 25)).ack(GO);
    let error = go_error(&peer);
    assert_eq!(error, PeerMisbehaved::AckBeforeExport { option: OptionCode::GO }.into());
    assert!(error.to_string().contains("NBD_OPT_GO was acknowledged before NBD_INFO_EXPORT"), "{error}");

    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&ask("", &[]), &ask_info(INFO, "", &[]));
    assert_eq!(engine.fails(&ack(INFO)), PeerMisbehaved::AckBeforeExport { option: OptionCode::INFO }.into());
}

// O6: what an earlier INFO told does not count for a later one.
#[test]
fn each_success_needs_an_export_of_its_own() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&ask("", &[]), &ask_info(INFO, "", &[]));
    engine.answers(&join(&[&info_export(INFO, 1, 1), &ack(INFO)]));
    engine.choose(&ask("", &[]), &ask_info(INFO, "", &[]));
    assert_eq!(engine.fails(&ack(INFO)), PeerMisbehaved::AckBeforeExport { option: OptionCode::INFO }.into());
}

// O6
#[test]
fn flags_must_say_that_they_are_flags() {
    for flags in [0, 2, 0xfffe] {
        let error = go_error(&Peer::fixed().export(GO, 1, flags));
        assert_eq!(error, PeerMisbehaved::FlagsMissing { flags }.into());
        assert!(error.to_string().contains("NBD_FLAG_HAS_FLAGS"), "{error}");
    }
}

#[test]
fn names_and_block_sizes_are_collected_in_any_order() {
    let peer = Peer::fixed()
        .then(info(GO, 2, b"for people \xff\x1b"))
        .then(info_block_size(GO, 512, 4096, 1 << 20))
        .then(info_export(GO, 7, 0x0041))
        .then(info(GO, 1, "kanonisch é".as_bytes()))
        .ack(GO);
    let run = peer
        .run(Connect::new(ConnectSettings::new("alias").with_extended_headers(false).with_structured_replies(false)));
    let negotiated = run.success();
    assert_eq!(negotiated.export, "alias");
    assert_eq!(negotiated.info.canonical_name.as_deref(), Some("kanonisch é"));
    assert_eq!(negotiated.info.description.as_deref(), Some("for people \u{fffd}\x1b"));
    assert_eq!(negotiated.info.block_sizes, Some(BlockSizes { minimum: 512, preferred: 4096, maximum: 1 << 20 }));
    assert_eq!((negotiated.minimum_block(), negotiated.maximum_payload()), (512, 1 << 20));
    assert_eq!(negotiated.info.flags, TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_WRITE_ZEROES);
}

#[test]
fn an_information_that_comes_twice_is_told_by_its_last() {
    let peer = Peer::fixed().then(info_export(GO, 1, 1)).then(info_export(GO, 2, 1)).ack(GO);
    assert_eq!(peer.run(Connect::new(bare(""))).success().info.size, 2);
}

#[test]
fn canonical_names_are_names() {
    let field = Field::ExportName;
    assert_eq!(go_error(&Peer::fixed().then(info(GO, 1, b"\xff"))), InvalidMessage::NotUtf8 { field }.into());
    assert_eq!(go_error(&Peer::fixed().then(info(GO, 1, b"a\0"))), InvalidMessage::HasNul { field }.into());
    let longest = "n".repeat(4096);
    let peer = Peer::fixed().then(info(GO, 1, longest.as_bytes())).export(GO, 1, 1);
    assert_eq!(peer.run(Connect::new(bare(""))).success().info.canonical_name, Some(longest));
}

#[test]
fn over_long_strings_are_errors_before_they_come() {
    for (kind, field) in [(1u16, Field::ExportName), (2, Field::Description)] {
        let peer = Peer::fixed().then(reply_header(GO, REP_INFO, 2 + 4097)).then(kind.to_be_bytes());
        assert_eq!(go_error(&peer), InvalidMessage::StringTooLong { field, length: 4097 }.into());
    }
}

#[test]
fn the_caller_sees_each_information_and_then_the_sum() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    assert_eq!(engine.handshake.export_info(), None);
    let asked = [InfoType::NAME, InfoType::BLOCK_SIZE];
    engine.choose(&ask("disk", &asked), &ask_info(INFO, "disk", &[1, 3]));
    let told = join(&[&info_export(INFO, 5, 3), &info(INFO, 1, b"Disk"), &info(INFO, 0x99, b"?")]);
    let facts = ExportFacts { size: 5, flags: TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY };
    let expected = [Info::Export(facts), Info::Name("Disk")].map(|info| HandshakeEvent::Reply(OptionReply::Info(info)));
    assert_eq!(engine.answers(&told), expected);
    assert_eq!(engine.handshake.export_info(), None, "it has not succeeded yet");
    assert_eq!(engine.answers(&ack(INFO)), [done(INFO)]);
    assert_eq!(engine.status(), Status::Choose, "INFO does not enter the transmission phase");
    let told = engine.handshake.export_info().unwrap();
    assert_eq!((told.size, told.flags, told.canonical_name.as_deref()), (5, facts.flags, Some("Disk")));
    assert_eq!((told.block_sizes, told.description), (None, None));

    // Another option, and it is gone.
    engine.agree(&nbd_proto::wire::option::OptionRequest::StructuredReply);
    assert_eq!(engine.handshake.export_info(), None);
}

#[test]
fn half_an_answer_is_not_told_after_an_error() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&ask("disk", &[]), &ask_info(INFO, "disk", &[]));
    engine.answers(&info_export(INFO, 5, 1));
    engine.handshake.eof();
    assert_eq!(engine.handshake.export_info(), None);
}

#[test]
fn what_came_before_a_refusal_counts_for_nothing() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&ask("disk", &[]), &ask_info(INFO, "disk", &[]));
    let answer = join(&[
        &info_export(INFO, 5, 1),
        &info_block_size(INFO, 1, 1, 1),
        &bytes::refused(INFO, bytes::BLOCK_SIZE_REQD),
    ]);
    assert_eq!(engine.answers(&answer)[2], failed(INFO, bytes::BLOCK_SIZE_REQD, ""));
    assert_eq!(engine.handshake.export_info(), None);
    let negotiated = engine.go("disk");
    assert_eq!((negotiated.info.size, negotiated.info.block_sizes), (4096, None));
}
