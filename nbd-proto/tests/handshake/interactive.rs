//! One option at a time, as the caller chooses.

use nbd_proto::error::{Field, Refused};
use nbd_proto::handshake::{
    ClientHandshake, HandshakeEvent, HandshakeSettings, HandshakeStyle, ReplyStyle, Status, TlsPolicy,
};
use nbd_proto::wire::number::{ContextId, InfoType, OptionCode};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::binding::{chosen, select};
use crate::bytes::{
    self, ABORT, EXPORT_NAME, EXTENDED_HEADERS, GO, INFO, LIST, LIST_META_CONTEXT, SET_META_CONTEXT, STARTTLS,
    STRUCTURED_REPLY, ack, ask_contexts, ask_info, context, info_export, join, option, server,
};
use crate::engine::{Engine, ask, done, failed, go, list_contexts, set};

/// One request of each kind.
pub(crate) fn every_option(export: &str) -> Vec<OptionRequest<'_>> {
    vec![
        OptionRequest::ExportName(export),
        OptionRequest::Abort,
        OptionRequest::List,
        OptionRequest::StartTls,
        ask(export, &[InfoType::BLOCK_SIZE, InfoType(0x1234)]),
        go(export, &[]),
        OptionRequest::StructuredReply,
        list_contexts(export, &[]),
        set(export, &["base:allocation", ""]),
        OptionRequest::ExtendedHeaders,
        OptionRequest::Unknown { option: OptionCode(0x2a), payload: b"\x01\x02" },
    ]
}

fn reason(refused: Refused) -> &'static str {
    match refused {
        Refused::Option { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn every_option_in_one_connection() {
    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.start_tls();

    engine.choose(&OptionRequest::List, &option(LIST, b""));
    let answer = join(&[&server("disk", ""), &ack(LIST)]);
    let listed = HandshakeEvent::Reply(OptionReply::Server { name: "disk", description: b"" });
    assert_eq!(engine.answers(&answer), [listed, done(LIST)]);

    engine.choose(&ask("disk", &[InfoType::NAME]), &ask_info(INFO, "disk", &[1]));
    assert_eq!(engine.answers(&join(&[&info_export(INFO, 8, 1), &ack(INFO)]))[1], done(INFO));
    assert_eq!(engine.handshake.export_info().map(|info| info.size), Some(8));

    engine.choose(&OptionRequest::StructuredReply, &option(STRUCTURED_REPLY, b""));
    assert_eq!(engine.answers(&ack(STRUCTURED_REPLY)), [done(STRUCTURED_REPLY)]);
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Structured);

    engine.choose(&OptionRequest::ExtendedHeaders, &option(EXTENDED_HEADERS, b""));
    assert_eq!(engine.answers(&ack(EXTENDED_HEADERS)), [done(EXTENDED_HEADERS)]);
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Extended);

    engine.choose(
        &list_contexts("disk", &["qemu:", "base:"]),
        &ask_contexts(LIST_META_CONTEXT, "disk", &["qemu:", "base:"]),
    );
    let answer = join(&[&context(LIST_META_CONTEXT, 0, "base:allocation"), &ack(LIST_META_CONTEXT)]);
    let told = HandshakeEvent::Reply(OptionReply::MetaContext { id: ContextId(0), name: "base:allocation" });
    assert_eq!(engine.answers(&answer), [told, done(LIST_META_CONTEXT)]);
    assert_eq!(engine.handshake.contexts(), [], "a list selects nothing");

    select(&mut engine, "disk");

    engine.choose(&OptionRequest::Unknown { option: OptionCode(99), payload: b"?" }, &option(99, b"?"));
    assert_eq!(engine.answers(&bytes::refused(99, bytes::UNSUP)), [failed(99, bytes::UNSUP, "")]);

    engine.choose(&go("disk", &[InfoType::BLOCK_SIZE]), &ask_info(GO, "disk", &[3]));
    assert_eq!(engine.answers(&join(&[&info_export(GO, 8, 1), &ack(GO)]))[1], done(GO));
    assert_eq!(engine.status(), Status::Ready);
    let negotiated = engine.handshake.finish().unwrap();
    assert_eq!((&negotiated.export[..], negotiated.tls, negotiated.reply_style), ("disk", true, ReplyStyle::Extended));
    assert_eq!(negotiated.contexts, chosen());
    assert_eq!(negotiated.available_contexts, None);
}

#[test]
fn export_name_ends_the_haggling_as_well() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.agree(&OptionRequest::StructuredReply);
    select(&mut engine, "disk");
    engine.choose(&OptionRequest::ExportName("disk"), &option(EXPORT_NAME, b"disk"));
    assert_eq!(engine.answers(&bytes::export_facts(5, 0)), [done(EXPORT_NAME)]);
    assert_eq!(engine.status(), Status::Ready);
    let negotiated = engine.handshake.finish().unwrap();
    assert_eq!((negotiated.info.size, negotiated.contexts), (5, chosen()));
}

#[test]
fn abort_ends_the_session_and_is_not_waited_for() {
    let mut engine = Engine::fixed(TlsPolicy::Required);
    engine.choose(&OptionRequest::Abort, &option(ABORT, b""));
    assert_eq!(engine.status(), Status::Closed);
    assert_eq!(engine.answers(b""), []);
    let late = ack(ABORT);
    let advance = engine.handshake.input(&late, &mut Vec::new()).unwrap();
    assert_eq!((advance.consumed, advance.event), (0, None));
    assert_eq!(engine.handshake.eof(), nbd_proto::error::Ended::ByUs.into());
    let error = engine.handshake.finish().unwrap_err();
    assert_eq!(error, nbd_proto::error::Ended::ByUs.into());
}

#[test]
fn a_refused_go_leaves_the_choice() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.choose(&go("nope", &[]), &ask_info(GO, "nope", &[]));
    assert_eq!(engine.answers(&bytes::refused(GO, bytes::UNKNOWN)), [failed(GO, bytes::UNKNOWN, "")]);
    assert_eq!(engine.go("disk").export, "disk");
}

// Illegal orders: each is refused, nothing is sent, nothing has changed.

#[test]
fn nothing_can_be_chosen_before_the_greeting_under_way_or_after_the_end() {
    let expected = "no option is to be chosen now";
    let refuses_all = |engine: &mut Engine| {
        for request in every_option("disk") {
            assert_eq!(reason(engine.refuses(&request)), expected);
        }
    };
    let mut engine = Engine::new(HandshakeSettings::default().with_tls(TlsPolicy::Opportunistic));
    refuses_all(&mut engine);
    engine.feed(&bytes::greeting(3)).unwrap();

    engine.choose(&OptionRequest::StructuredReply, &option(STRUCTURED_REPLY, b""));
    refuses_all(&mut engine);
    engine.answers(&ack(STRUCTURED_REPLY));

    engine.choose(&go("", &[]), &ask_info(GO, "", &[]));
    refuses_all(&mut engine);
    let unknown = bytes::info(GO, 0x99, b"abc");
    let advance = engine.handshake.input(&unknown[..22], &mut Vec::new()).unwrap();
    assert_eq!(advance.consumed, 20);
    refuses_all(&mut engine);

    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.choose(&OptionRequest::ExportName(""), &option(EXPORT_NAME, b""));
    refuses_all(&mut engine);
    engine.answers(&bytes::export_facts(1, 1));
    refuses_all(&mut engine);

    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    engine.answers(&ack(STARTTLS));
    refuses_all(&mut engine);

    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.choose(&OptionRequest::Abort, &option(ABORT, b""));
    refuses_all(&mut engine);

    let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
    engine.handshake.give_up("time-out");
    refuses_all(&mut engine);
}

#[test]
fn before_required_tls_only_starttls_and_abort() {
    for request in every_option("disk") {
        let mut engine = Engine::fixed(TlsPolicy::Required);
        match request {
            OptionRequest::StartTls | OptionRequest::Abort => {
                engine.choose(&request, &option(request.option().0, b""));
            }
            _ => {
                assert_eq!(reason(engine.refuses(&request)), "TLS is required and not in use yet");
                engine.start_tls();
                if request.option() != OptionCode::SET_META_CONTEXT {
                    engine.handshake.choose(&request, &mut Vec::new()).unwrap();
                }
            }
        }
    }
}

// A refusal of STARTTLS opens no way around it.
#[test]
fn required_stays_required_after_a_refusal() {
    let mut engine = Engine::fixed(TlsPolicy::Required);
    engine.choose(&OptionRequest::StartTls, &option(STARTTLS, b""));
    engine.answers(&bytes::refused(STARTTLS, bytes::UNSUP));
    for request in every_option("disk") {
        if !matches!(request, OptionRequest::StartTls | OptionRequest::Abort) {
            engine.refuses(&request);
        }
    }
}

#[test]
fn starttls_not_where_tls_is_off() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    assert_eq!(reason(engine.refuses(&OptionRequest::StartTls)), "TLS is turned off");
}

#[test]
fn export_name_not_after_extended_headers() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.agree(&OptionRequest::ExtendedHeaders);
    let refused = engine.refuses(&OptionRequest::ExportName(""));
    assert_eq!(reason(refused), "extended headers were agreed, which go with NBD_OPT_GO only");
    // Structured replies behind them change nothing.
    engine.agree(&OptionRequest::StructuredReply);
    assert_eq!(engine.handshake.reply_style(), ReplyStyle::Extended);
    engine.refuses(&OptionRequest::ExportName(""));
    assert_eq!(engine.go("").reply_style, ReplyStyle::Extended);
}

#[test]
fn contexts_not_before_chunks() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let refused = engine.refuses(&set("", &["base:allocation"]));
    assert_eq!(reason(refused), "it needs structured replies or extended headers first");
    engine.choose(&OptionRequest::StructuredReply, &option(STRUCTURED_REPLY, b""));
    engine.answers(&bytes::refused(STRUCTURED_REPLY, bytes::POLICY));
    engine.refuses(&set("", &["base:allocation"]));
    engine.agree(&OptionRequest::StructuredReply);
    engine.choose(&set("", &[]), &ask_contexts(SET_META_CONTEXT, "", &[]));
}

#[test]
fn an_option_with_a_form_of_its_own_cannot_be_disguised() {
    for code in 1..=11 {
        let mut engine = Engine::fixed(TlsPolicy::Opportunistic);
        engine.agree(&OptionRequest::StructuredReply);
        let request = OptionRequest::Unknown { option: OptionCode(code), payload: b"\0\0\0\0\0\0" };
        // The specification has withdrawn number 4, so nobody knows its form.
        if OptionCode(code) == OptionCode::PEEK_EXPORT {
            engine.choose(&request, &option(code, b"\0\0\0\0\0\0"));
            assert_eq!(engine.answers(&ack(code)), [done(code)]);
        } else {
            assert_eq!(reason(engine.refuses(&request)), "it has a form of its own, which has to be used");
        }
    }
}

#[test]
fn strings_that_the_protocol_cannot_carry_are_refused() {
    let long = "x".repeat(4097);
    for bad in [&long[..], "nul\0"] {
        let mut engine = Engine::fixed(TlsPolicy::Off);
        engine.agree(&OptionRequest::StructuredReply);
        for request in
            [OptionRequest::ExportName(bad), ask(bad, &[]), go(bad, &[]), set(bad, &[]), list_contexts(bad, &[])]
        {
            assert_eq!(engine.refuses(&request), Refused::String { field: Field::ExportName });
        }
        for request in [set("", &["base:allocation", bad]), list_contexts("", &[bad])] {
            assert_eq!(engine.refuses(&request), Refused::String { field: Field::Query });
        }
    }
    let longest = "x".repeat(4096);
    Engine::fixed(TlsPolicy::Off).choose(&go(&longest, &[]), &ask_info(GO, &longest, &[]));
}

#[test]
fn more_information_requests_than_a_message_holds_are_refused() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let all: Vec<InfoType> = (0..=u16::MAX).map(InfoType).collect();
    assert_eq!(engine.refuses(&ask("", &all)), Refused::TooMany { field: Field::InfoRequests });
    let codes: Vec<u16> = (0..u16::MAX).collect();
    engine.choose(&ask("", &all[..65_535]), &ask_info(INFO, "", &codes));
}

// "The client MUST NOT include any information request in the list more than once" (spec, `NBD_OPT_INFO`).
#[test]
fn an_information_cannot_be_asked_for_twice() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    let twice = [InfoType::NAME, InfoType::BLOCK_SIZE, InfoType::NAME];
    for request in [ask("", &twice), go("", &twice)] {
        assert_eq!(reason(engine.refuses(&request)), "an information is asked for twice");
    }
}

#[test]
fn an_oldstyle_greeting_leaves_nothing_to_choose() {
    let mut engine = Engine { handshake: ClientHandshake::new(HandshakeSettings::default()) };
    let hello = bytes::oldstyle(12, 1);
    assert_eq!(engine.answers(&hello), [HandshakeEvent::Opened(HandshakeStyle::Oldstyle)]);
    assert_eq!(engine.status(), Status::Ready);
    for request in every_option("") {
        engine.refuses(&request);
    }
    assert_eq!(engine.handshake.finish().unwrap().info.size, 12);
}

#[test]
fn more_queries_than_a_message_holds_are_refused() {
    let mut engine = Engine::fixed(TlsPolicy::Off);
    engine.agree(&OptionRequest::StructuredReply);
    // Each takes 4100 bytes, and all together more than the 32 bits of the payload's length can say.
    let longest = "x".repeat(4096);
    let queries = vec![&longest[..]; (u32::MAX / 4100) as usize + 1];
    assert_eq!(
        engine.handshake.choose(&set("", &queries), &mut Vec::new()),
        Err(Refused::TooMany { field: Field::Queries })
    );
}
