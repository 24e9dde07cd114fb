//! The frame of requests and replies.

use nbd_proto::error::{Expected, Field, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::{Connect, HandshakeEvent, List, ReplyStyle, Status, TlsPolicy};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes::{
    self, EXPORT_NAME, EXTENDED_HEADERS, GO, INFO, LIST, LIST_META_CONTEXT, REP_ACK, REP_INFO, REP_META_CONTEXT,
    REP_SERVER, SET_META_CONTEXT, STARTTLS, STRUCTURED_REPLY, UNSUP, ack, client_flags, join, refused, reply,
    reply_header,
};
use crate::engine::{Engine, done, failed};
use crate::interactive::every_option;
use crate::peer::{Peer, bare, bare_list};

// R0
#[test]
fn every_request_is_a_header_and_a_payload() {
    let expected: [(u32, Vec<u8>); 11] = [
        (EXPORT_NAME, b"disk".to_vec()),
        (bytes::ABORT, vec![]),
        (LIST, vec![]),
        (STARTTLS, vec![]),
        (INFO, b"\0\0\0\x04disk\0\x02\0\x03\x12\x34".to_vec()),
        (GO, b"\0\0\0\x04disk\0\0".to_vec()),
        (STRUCTURED_REPLY, vec![]),
        (LIST_META_CONTEXT, b"\0\0\0\x04disk\0\0\0\0".to_vec()),
        (SET_META_CONTEXT, b"\0\0\0\x04disk\0\0\0\x02\0\0\0\x0fbase:allocation\0\0\0\0".to_vec()),
        (EXTENDED_HEADERS, vec![]),
        (0x2a, b"\x01\x02".to_vec()),
    ];
    let requests = every_option("disk");
    assert_eq!(requests.len(), expected.len());
    for (request, (code, payload)) in requests.iter().zip(expected) {
        let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
        if code == SET_META_CONTEXT {
            engine.agree(&OptionRequest::StructuredReply);
        }
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        engine.choose(request, &join(&[b"IHAVEOPT", &code.to_be_bytes(), &length, &payload]));
    }
}

// R1
#[test]
fn a_reply_with_another_magic_is_shown() {
    let mut broken = ack(GO);
    broken[7] = 0xaa;
    let run = Peer::fixed().then(&broken).run(Connect::new(bare("")));
    let error = run.error();
    let got = 0x0003_e889_0455_65aa;
    assert_eq!(error, InvalidMessage::Magic { message: Message::OptionReply, got }.into());
    assert!(error.to_string().contains("0x0003e889045565aa"), "{error}");
    // Eight bytes are enough to see it.
    let run = Peer::fixed().then(&broken[..8]).run(Connect::new(bare("")));
    assert_eq!(run.error(), InvalidMessage::Magic { message: Message::OptionReply, got }.into());
}

// R1
#[test]
fn a_reply_to_another_option_names_both() {
    for kind in [REP_ACK, UNSUP] {
        let run = Peer::fixed().refuse(LIST, kind).run(Connect::new(bare("")));
        let error = run.error();
        assert_eq!(error, PeerMisbehaved::WrongOption { asked: OptionCode::GO, got: OptionCode::LIST }.into());
        assert!(error.to_string().contains("a reply to NBD_OPT_LIST came where one to NBD_OPT_GO"), "{error}");
    }
    let run = Peer::fixed().then(ack(0xdead_beef)).run(Connect::new(bare("")));
    assert!(run.error().to_string().contains("option 0xdeadbeef"));
}

// R2
#[test]
fn the_message_of_an_error_is_kept_and_bounded() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let longest = "m".repeat(4096);
    for message in ["", "short", &longest] {
        engine.choose(&OptionRequest::List, &bytes::option(LIST, b""));
        let answer = reply(LIST, 0xffff_ffff, message.as_bytes());
        assert_eq!(engine.answers(&answer), [failed(LIST, 0xffff_ffff, message)]);
    }
    engine.choose(&OptionRequest::List, &bytes::option(LIST, b""));
    // The header is enough: no byte of the message has to come.
    let expected = Expected::Between(0, 4096);
    assert_eq!(
        engine.fails(&reply_header(LIST, UNSUP, 4097)),
        InvalidMessage::Length { message: Message::ErrorReply, expected, got: 4097 }.into()
    );
}

// R2
#[test]
fn a_message_that_is_not_utf8_is_shown_all_the_same() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&OptionRequest::List, &bytes::option(LIST, b""));
    assert_eq!(engine.answers(&reply(LIST, UNSUP, b"\xff\0ok")), [failed(LIST, UNSUP, "\u{fffd}\0ok")]);
}

// R3
#[test]
fn an_unknown_option_is_not_fatal_to_the_caller() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    for request in every_option("disk") {
        if matches!(request, OptionRequest::ExportName(_) | OptionRequest::Abort) {
            continue;
        }
        if matches!(request, OptionRequest::SetMetaContext(_)) {
            engine.agree(&OptionRequest::StructuredReply);
        }
        let option = request.option().0;
        engine.handshake.choose(&request, &mut Vec::new()).unwrap();
        assert_eq!(engine.answers(&refused(option, UNSUP)), [failed(option, UNSUP, "")]);
        assert_eq!(engine.status(), Status::Choose);
    }
}

// R6
#[test]
fn an_acknowledgement_is_empty() {
    for option in [STARTTLS, EXTENDED_HEADERS, STRUCTURED_REPLY, LIST, GO, 0x2a] {
        let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
        let request = every_option("disk").into_iter().find(|request| request.option().0 == option).unwrap();
        engine.handshake.choose(&request, &mut Vec::new()).unwrap();
        let expected = Expected::Exactly(0);
        let error = InvalidMessage::Length { message: Message::Ack, expected, got: 1 };
        assert_eq!(engine.fails(&reply_header(option, REP_ACK, 1)), error.into());
    }
}

// R7
#[test]
fn a_reply_that_the_option_does_not_return_is_an_error_that_names_both() {
    let server = reply(0, REP_SERVER, b"\0\0\0\0");
    let info = reply(0, REP_INFO, &[0; 12]);
    let context = reply(0, REP_META_CONTEXT, b"\0\0\0\0x");
    let unknown = reply(0, 0x7777, b"");
    let none = [&server, &info, &context, &unknown];
    let cases = [
        (STARTTLS, "NBD_REP_ACK", none),
        (EXTENDED_HEADERS, "NBD_REP_ACK", none),
        (STRUCTURED_REPLY, "NBD_REP_ACK", none),
        (LIST, "NBD_REP_SERVER or NBD_REP_ACK", [&info, &context, &unknown, &unknown]),
        (INFO, "NBD_REP_INFO or NBD_REP_ACK", [&server, &context, &unknown, &unknown]),
        (GO, "NBD_REP_INFO or NBD_REP_ACK", [&server, &context, &unknown, &unknown]),
        (LIST_META_CONTEXT, "NBD_REP_META_CONTEXT or NBD_REP_ACK", [&server, &info, &unknown, &unknown]),
        (SET_META_CONTEXT, "NBD_REP_META_CONTEXT or NBD_REP_ACK", [&server, &info, &unknown, &unknown]),
    ];
    for (option, expected, answers) in cases {
        for answer in answers {
            let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
            if option == SET_META_CONTEXT {
                engine.agree(&OptionRequest::ExtendedHeaders);
            }
            let request = every_option("disk").into_iter().find(|request| request.option().0 == option).unwrap();
            engine.handshake.choose(&request, &mut Vec::new()).unwrap();
            let mut answer = answer.clone();
            answer[8..12].copy_from_slice(&option.to_be_bytes());
            let got = ReplyType(u32::from_be_bytes(answer[12..16].try_into().unwrap()));
            let option = OptionCode(option);
            let error = engine.fails(&answer);
            assert_eq!(error, PeerMisbehaved::UnexpectedOptionReply { option, got, expected }.into());
            let sentence = error.to_string();
            assert!(sentence.contains(&format!("{got} came in answer to {option}, where {expected}")), "{sentence}");
        }
    }
}

// R7: what an option returns that nobody knows, nobody knows either.
#[test]
fn an_option_of_the_callers_own_may_bring_anything() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let request = OptionRequest::Unknown { option: OptionCode(0x2a), payload: b"\x01" };
    engine.choose(&request, &bytes::option(0x2a, b"\x01"));
    let answer = join(&[
        &reply(0x2a, 0x7777, b"own"),
        &reply(0x2a, REP_SERVER, b"\0\0\0\x01ab"),
        &reply(0x2a, REP_META_CONTEXT, b"\0\0\0\x05x"),
        &ack(0x2a),
    ]);
    let events = engine.answers(&answer);
    assert_eq!(events[0], HandshakeEvent::Reply(OptionReply::Unknown { reply: ReplyType(0x7777), payload: b"own" }));
    assert_eq!(events[1], HandshakeEvent::Reply(OptionReply::Server { name: "a", description: b"b" }));
    assert_eq!(events[3], done(0x2a));
    assert_eq!(engine.handshake.contexts(), [], "none of it is a selection");
}

#[test]
fn a_reply_of_a_kind_nobody_knows_is_bounded() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let request = OptionRequest::Unknown { option: OptionCode(0x2a), payload: b"" };
    engine.choose(&request, &bytes::option(0x2a, b""));
    let expected = Expected::Between(0, 8196);
    assert_eq!(
        engine.fails(&reply_header(0x2a, 0x7777, 8197)),
        InvalidMessage::Length { message: Message::OptionReply, expected, got: 8197 }.into()
    );
}

#[test]
fn replies_come_in_any_mixture_of_lengths_at_the_bounds() {
    let name = "n".repeat(4096);
    let description = "d".repeat(4096);
    let peer = Peer::fixed().then(bytes::server(&name, &description)).ack(LIST);
    let run = peer.run_bytewise(List::new(bare_list()));
    assert_eq!(run.clear, join(&[&client_flags(3), &bytes::option(LIST, b""), &bytes::option(bytes::ABORT, b"")]));
    let listing = run.success();
    assert_eq!((&listing.exports[0].name, &listing.exports[0].description), (&name, &description));
    assert_eq!(listing.reply_style, ReplyStyle::Simple);
}

#[test]
fn names_of_replies_are_checked_and_descriptions_are_not() {
    let fails =
        |payload: &[u8]| Peer::fixed().then(reply(LIST, REP_SERVER, payload)).run(List::new(bare_list())).error();
    let field = Field::ExportName;
    assert_eq!(fails(b"\0\0\0\x01\xff"), InvalidMessage::NotUtf8 { field }.into());
    assert_eq!(fails(b"\0\0\0\x01\0"), InvalidMessage::HasNul { field }.into());
    let run = Peer::fixed().then(reply(LIST, REP_SERVER, b"\0\0\0\0\xff\0")).ack(LIST).run(List::new(bare_list()));
    assert_eq!(run.success().exports[0].description, "\u{fffd}\0");
}
