//! The greeting, in all three styles.

use nbd_proto::error::{Error, InvalidMessage, Message, TlsUnavailable, Unavailable};
use nbd_proto::handshake::{
    Connect, ConnectSettings, HandshakeEvent, HandshakeSettings, HandshakeStyle, List, ListSettings, ReplyStyle,
    Status, TlsPolicy,
};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{
    self, EXPORT_NAME, IHAVEOPT, NBDMAGIC, OLDSTYLE, client_flags, export_facts, greeting, join, oldstyle, option,
};
use crate::engine::Engine;
use crate::peer::{Peer, bare};

// H1
#[test]
fn another_first_magic_is_shown() {
    let run = Peer::says(*b"SSH-2.0-OpenSSH_9.2p1\r\n").run(Connect::new(bare("")));
    assert_eq!(run.clear, b"");
    let error = run.error();
    let got = u64::from_be_bytes(*b"SSH-2.0-");
    assert_eq!(error, Error::InvalidMessage(InvalidMessage::Magic { message: Message::Greeting, got }));
    assert!(error.to_string().contains("0x5353482d322e302d; is this an NBD server?"), "{error}");
}

// H1
#[test]
fn a_wrong_magic_needs_only_its_own_eight_bytes() {
    let run = Peer::says(*b"NBDMAGIK").run_bytewise(List::new(ListSettings::default()));
    let got = u64::from_be_bytes(*b"NBDMAGIK");
    assert_eq!(run.error(), InvalidMessage::Magic { message: Message::Greeting, got }.into());
}

// H2
#[test]
fn another_second_magic_is_shown() {
    let run = Peer::says(join(&[NBDMAGIC, b"IHAVENOT"])).run(Connect::new(bare("")));
    assert_eq!(run.clear, b"");
    let error = run.error();
    let got = u64::from_be_bytes(*b"IHAVENOT");
    assert_eq!(error, InvalidMessage::Magic { message: Message::GreetingStyle, got }.into());
    assert!(error.to_string().contains("0x49484156454e4f54"), "{error}");
}

// H3
#[test]
fn the_two_known_flags_are_echoed_when_offered_and_only_then() {
    for offered in [0, 1, 2, 3, 0xfffc, 0xfffd, 0xfffe, 0xffff] {
        let mut engine = Engine::new(HandshakeSettings::default());
        let fixed = offered & 1 != 0;
        let style = if fixed { HandshakeStyle::FixedNewstyle } else { HandshakeStyle::Newstyle };
        let hello = greeting(offered);
        let (events, sent) = engine.feed(&hello).unwrap();
        assert_eq!(events, [HandshakeEvent::Opened(style)]);
        assert_eq!(sent, client_flags(u32::from(offered & 3)), "offered {offered:#x}");
        assert_eq!((engine.status(), engine.handshake.style()), (Status::Choose, style));
    }
}

// H4
#[test]
fn export_name_is_all_that_a_newstyle_server_gets() {
    // All is wanted, but none of it can be asked for.
    let settings = ConnectSettings::new("disk").with_meta_context("base:allocation").with_tls(TlsPolicy::Opportunistic);
    let run = Peer::says(greeting(2)).then(export_facts(1 << 20, 0x0003)).run(Connect::new(settings));
    assert_eq!(run.clear, join(&[&client_flags(2), &option(EXPORT_NAME, b"disk")]));
    let negotiated = run.success();
    assert_eq!(negotiated.handshake_style, HandshakeStyle::Newstyle);
    assert_eq!((negotiated.reply_style, negotiated.tls), (ReplyStyle::Simple, false));
    assert_eq!((&negotiated.export[..], negotiated.info.size), ("disk", 1 << 20));
    assert_eq!(negotiated.info.flags, TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY);
    assert!(negotiated.contexts.is_empty() && negotiated.available_contexts.is_none());
}

// H4
#[test]
fn a_caller_cannot_send_another_option_to_a_newstyle_server() {
    let mut engine = Engine::new(HandshakeSettings::default().with_tls(TlsPolicy::Opportunistic));
    engine.feed(&greeting(0)).unwrap();
    for request in crate::interactive::every_option("disk") {
        if !matches!(request, OptionRequest::ExportName(_)) {
            engine.refuses(&request);
        }
    }
    engine.choose(&OptionRequest::ExportName("disk"), &option(EXPORT_NAME, b"disk"));
}

// H5
#[test]
fn an_oldstyle_server_tells_all_at_once() {
    let peer = Peer::says(oldstyle(0x1234_5678_9abc, 0x0000_0105)).then(b"transmission");
    let run = peer.run(Connect::new(ConnectSettings::new("").with_tls(TlsPolicy::Opportunistic)));
    assert_eq!((&run.clear[..], run.left), (&b""[..], b"transmission".len()));
    let negotiated = run.success();
    assert_eq!(negotiated.handshake_style, HandshakeStyle::Oldstyle);
    assert_eq!((negotiated.info.size, negotiated.info.flags.bits()), (0x1234_5678_9abc, 0x0105));
    assert_eq!((&negotiated.export[..], negotiated.reply_style), ("", ReplyStyle::Simple));
    assert_eq!(negotiated.info.block_sizes, None);
    assert_eq!((negotiated.minimum_block(), negotiated.maximum_payload()), (1, 32 << 20));
}

// H5
#[test]
fn the_reserved_bytes_of_an_oldstyle_greeting_are_skipped_whatever_they_are() {
    let hello = join(&[NBDMAGIC, OLDSTYLE, &[0; 8], &1u32.to_be_bytes(), &[0xa5; 124]]);
    let run = Peer::says(hello).run_bytewise(Connect::new(bare("")));
    assert_eq!(run.success().info.size, 0);
}

// H5
#[test]
fn oldstyle_flags_must_have_no_upper_half() {
    let run = Peer::says(oldstyle(512, 0x0001_0001)).run(Connect::new(bare("")));
    assert_eq!(run.clear, b"");
    assert_eq!(run.error(), InvalidMessage::OldstyleFlags { got: 0x0001_0001 }.into());
}

// H5
#[test]
fn an_oldstyle_server_cannot_honour_a_name() {
    let run = Peer::says(oldstyle(512, 1)).run(Connect::new(bare("a\tb")));
    assert_eq!(run.clear, b"", "there is no ABORT in oldstyle");
    let error = run.error();
    assert_eq!(error, Unavailable::ExportNameOnOldstyle { name: "a\tb".to_owned() }.into());
    assert!(error.to_string().contains("\"a\\tb\""), "{error}");
}

// H6
#[test]
fn required_tls_ends_with_a_server_that_cannot_have_it() {
    let cases = [
        (oldstyle(512, 1), TlsUnavailable::Oldstyle),
        (greeting(0), TlsUnavailable::NotFixed),
        (greeting(2), TlsUnavailable::NotFixed),
    ];
    for (hello, why) in cases {
        let peer = Peer::says(hello);
        let connect = peer.run(Connect::new(bare("").with_tls(TlsPolicy::Required)));
        let list = peer.run(List::new(ListSettings::default().with_tls(TlsPolicy::Required)));
        assert_eq!((&connect.clear[..], &list.clear[..]), (&b""[..], &b""[..]), "nothing further is sent");
        assert_eq!(connect.error(), Unavailable::Tls(why.clone()).into());
        let error = list.error();
        assert_eq!(error, Unavailable::Tls(why).into());
        assert!(error.to_string().starts_with("TLS is required, but the server's handshake is"), "{error}");
    }
}

// H8
#[test]
fn structured_replies_are_asked_for_first_and_may_be_refused() {
    let settings = bare("").with_structured_replies(true);
    let asked = join(&[&client_flags(3), &option(bytes::STRUCTURED_REPLY, b""), &bytes::ask_info(bytes::GO, "", &[])]);
    let yes = Peer::fixed().ack(bytes::STRUCTURED_REPLY).export(bytes::GO, 1, 1).run(Connect::new(settings.clone()));
    assert_eq!(yes.clear, asked);
    assert_eq!(yes.success().reply_style, ReplyStyle::Structured);
    let no = Peer::fixed().refuse(bytes::STRUCTURED_REPLY, bytes::UNSUP).export(bytes::GO, 1, 1);
    let no = no.run(Connect::new(settings));
    assert_eq!(no.clear, asked);
    assert_eq!(no.success().reply_style, ReplyStyle::Simple);
}

// H8
#[test]
fn structured_replies_are_not_asked_for_unless_wanted() {
    let run = Peer::fixed().export(bytes::GO, 1, 1).run(Connect::new(bare("")));
    assert_eq!(run.clear, join(&[&client_flags(3), &bytes::ask_info(bytes::GO, "", &[])]));
    assert_eq!(run.success().reply_style, ReplyStyle::Simple);
}

// Not in the list: extended headers come first, then structured replies, each switched off by itself.
#[test]
fn extended_headers_make_structured_replies_needless() {
    let settings = || bare("").with_extended_headers(true);
    let extended = option(bytes::EXTENDED_HEADERS, b"");
    let go = bytes::ask_info(bytes::GO, "", &[]);

    let peer = Peer::fixed().ack(bytes::EXTENDED_HEADERS).export(bytes::GO, 1, 1);
    let run = peer.run(Connect::new(settings().with_structured_replies(true)));
    assert_eq!(run.clear, join(&[&client_flags(3), &extended, &go]));
    assert_eq!(run.success().reply_style, ReplyStyle::Extended);

    let peer = Peer::fixed().refuse(bytes::EXTENDED_HEADERS, bytes::UNSUP);
    let run = peer.clone().export(bytes::GO, 1, 1).run(Connect::new(settings()));
    assert_eq!(run.clear, join(&[&client_flags(3), &extended, &go]));
    assert_eq!(run.success().reply_style, ReplyStyle::Simple);

    let peer = peer.ack(bytes::STRUCTURED_REPLY).export(bytes::GO, 1, 1);
    let run = peer.run(Connect::new(settings().with_structured_replies(true)));
    assert_eq!(run.clear, join(&[&client_flags(3), &extended, &option(bytes::STRUCTURED_REPLY, b""), &go]));
    assert_eq!(run.success().reply_style, ReplyStyle::Structured);
}

#[test]
fn a_greeting_is_all_of_ihaveopt_and_flags() {
    let mut engine = Engine::new(HandshakeSettings::default());
    let hello = join(&[NBDMAGIC, IHAVEOPT, &[0]]);
    let mut out = Vec::new();
    let advance = engine.handshake.input(&hello, &mut out).unwrap();
    assert_eq!((advance.consumed, advance.event, out), (0, None, Vec::new()));
}

#[test]
fn styles_are_shown_as_the_specification_calls_them() {
    let styles = [HandshakeStyle::Oldstyle, HandshakeStyle::Newstyle, HandshakeStyle::FixedNewstyle];
    assert_eq!(styles.map(|style| style.to_string()), ["oldstyle", "newstyle", "fixed newstyle"]);
    let styles = [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended];
    assert_eq!(styles.map(|style| style.to_string()), ["simple", "structured", "extended"]);
}
