//! Our client reaches an export of our server, and both know the same of it.

use nbd_proto::error::{Error, Unavailable};
use nbd_proto::handshake::{
    Connect, ConnectSettings, HandshakeSettings, HandshakeStyle, Negotiated, Offer, ReplyStyle,
    ServerHandshakeSettings, ServerTls, TlsPolicy,
};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{go, info, set_contexts};
use crate::info::SIZES;
use crate::pair::{CHUNKS, Chooser, World, pair};

const FLAGS: TransmissionFlags = TransmissionFlags::SEND_FLUSH.union(TransmissionFlags::SEND_WRITE_ZEROES);

fn disk() -> Offer {
    Offer::new(1 << 30, FLAGS).with_context("base:allocation").with_context("x-test:other").with_description("a disk")
}

fn world() -> World {
    World(vec![("", Offer::new(512, FLAGS)), ("disk", disk())])
}

/// Connects, and holds what the server has against what the client has.
#[track_caller]
fn agreed(client: &ConnectSettings, server: &ServerHandshakeSettings, world: &World, chunk: usize) -> Negotiated {
    let (connected, accepted) = pair(Connect::new(client.clone()), server.clone(), world, chunk);
    let (connected, accepted) = (connected.unwrap(), accepted.unwrap());
    let mut shared = connected.clone();
    shared.available_contexts = None;
    assert_eq!(&shared, accepted.negotiated());
    connected
}

#[test]
fn in_every_style_of_replies_with_and_without_contexts() {
    for (structured, extended, expected) in [
        (false, false, ReplyStyle::Simple),
        (true, false, ReplyStyle::Structured),
        (true, true, ReplyStyle::Extended),
        (false, true, ReplyStyle::Extended),
    ] {
        let server =
            ServerHandshakeSettings::default().with_structured_replies(structured).with_extended_headers(extended);
        for chunk in CHUNKS {
            let client = ConnectSettings::new("disk");
            let plain = agreed(&client, &server, &world(), chunk);
            assert_eq!(plain.reply_style, expected);
            assert_eq!(plain.contexts, []);
            assert_eq!(plain.info.description.as_deref(), Some("a disk"));

            let client = client.with_meta_context("base:allocation").with_list_contexts(true);
            let with_context = agreed(&client, &server, &world(), chunk);
            let chunks = expected != ReplyStyle::Simple;
            assert_eq!(with_context.reply_style, expected);
            assert_eq!(with_context.context("base:allocation").is_some(), chunks);
            assert_eq!(with_context.contexts.len(), usize::from(chunks));
            if chunks {
                let listed = with_context.available_contexts.unwrap();
                assert_eq!(listed, ["base:allocation", "x-test:other"]);
            }
        }
    }
}

#[test]
fn whatever_the_client_cares_for() {
    let world = World(vec![("disk", disk().with_block_sizes(SIZES).with_canonical_name("its name"))]);
    for chunk in CHUNKS {
        for (names, sizes) in [(false, false), (false, true), (true, false), (true, true)] {
            let client = ConnectSettings::new("disk").with_names(names).with_block_sizes(sizes);
            let agreed = agreed(&client, &ServerHandshakeSettings::default(), &world, chunk);
            assert_eq!(agreed.info.canonical_name.as_deref(), Some("its name"));
            assert_eq!(agreed.info.block_sizes, Some(SIZES));
            assert_eq!(agreed.info.description.is_some(), names);
        }
    }
}

#[test]
fn in_every_style_of_the_handshake() {
    for style in [HandshakeStyle::Oldstyle, HandshakeStyle::Newstyle, HandshakeStyle::FixedNewstyle] {
        for no_zeroes in [false, true] {
            let server = ServerHandshakeSettings::default().with_style(style).with_no_zeroes(no_zeroes);
            for chunk in CHUNKS {
                let agreed = agreed(&ConnectSettings::new(""), &server, &world(), chunk);
                assert_eq!((agreed.handshake_style, agreed.info.size), (style, 512));
            }
        }
    }
}

#[test]
fn inside_tls() {
    let tls_only = World(vec![("disk", disk().with_tls_required(true))]);
    for (client, server, inside) in [
        (TlsPolicy::Off, ServerTls::Offered, false),
        (TlsPolicy::Opportunistic, ServerTls::Off, false),
        (TlsPolicy::Opportunistic, ServerTls::Offered, true),
        (TlsPolicy::Opportunistic, ServerTls::Required, true),
        (TlsPolicy::Required, ServerTls::Offered, true),
        (TlsPolicy::Required, ServerTls::Required, true),
    ] {
        for chunk in CHUNKS {
            let client = ConnectSettings::new("disk").with_tls(client).with_meta_context("base:allocation");
            let server = ServerHandshakeSettings::default().with_tls(server);
            let world = if inside { &tls_only } else { &world() };
            let agreed = agreed(&client, &server, world, chunk);
            assert_eq!(agreed.tls, inside);
            assert_eq!(agreed.contexts.len(), 1);
        }
    }
}

#[test]
fn unless_it_cannot_be_had() {
    let tls_only = World(vec![("disk", disk().with_tls_required(true))]);
    for chunk in CHUNKS {
        for (server, reply) in [
            (ServerTls::Off, ReplyType::ERR_POLICY),
            (ServerTls::Offered, ReplyType::ERR_TLS_REQD),
            (ServerTls::Required, ReplyType::ERR_TLS_REQD),
        ] {
            let server = ServerHandshakeSettings::default().with_tls(server);
            let (connected, accepted) = pair(Connect::new(ConnectSettings::new("disk")), server, &tls_only, chunk);
            match connected.unwrap_err() {
                Error::Unavailable(Unavailable::Refused(it) | Unavailable::ServerRequiresTls(it)) => {
                    assert_eq!(it.reply, reply);
                }
                other => panic!("{other}"),
            }
            assert!(accepted.is_err());
        }
        let missing = Connect::new(ConnectSettings::new("missing"));
        let (connected, accepted) = pair(missing, ServerHandshakeSettings::default(), &world(), chunk);
        match connected.unwrap_err() {
            Error::Unavailable(Unavailable::Refused(it)) => assert_eq!(it.reply, ReplyType::ERR_UNKNOWN),
            other => panic!("{other}"),
        }
        assert_eq!(accepted.unwrap_err(), nbd_proto::error::Ended::ByUs.into());
    }
}

#[test]
fn an_export_that_is_missing_by_export_name() {
    let newstyle = ServerHandshakeSettings::default().with_style(HandshakeStyle::Newstyle);
    for chunk in CHUNKS {
        let missing = Connect::new(ConnectSettings::new("missing"));
        let (connected, accepted) = pair(missing, newstyle.clone(), &world(), chunk);
        let name = "missing".to_owned();
        assert_eq!(connected, Err(Unavailable::ExportNameRejected { name: name.clone() }.into()));
        let message = "there is no such export".to_owned();
        let turned_away = Unavailable::TurnedAway { name, reply: ReplyType::ERR_UNKNOWN, message };
        assert_eq!(accepted, Err(turned_away.into()));
    }
}

#[test]
fn option_by_option() {
    let choices = [
        OptionRequest::Unknown { option: OptionCode(0x1234), payload: &[7; 300] },
        OptionRequest::StructuredReply,
        info("missing", &[]),
        set_contexts("disk", &["x-test:other", "base:allocation", "nobody:knows"]),
        OptionRequest::List,
        go("missing", &[]),
        OptionRequest::ExportName("disk"),
    ];
    for chunk in CHUNKS {
        let chooser = Chooser::new(HandshakeSettings::default(), &choices);
        let (chosen, accepted) = pair(chooser, ServerHandshakeSettings::default(), &world(), chunk);
        let (outcomes, connected) = chosen.unwrap();
        let ended: Vec<_> =
            outcomes.iter().map(|(_, outcome)| outcome.as_ref().map_err(|refusal| refusal.reply).copied()).collect();
        let expected = [
            Err(ReplyType::ERR_UNSUP),
            Ok(()),
            Err(ReplyType::ERR_UNKNOWN),
            Ok(()),
            Ok(()),
            Err(ReplyType::ERR_UNKNOWN),
            Ok(()),
        ];
        assert_eq!(ended, expected);
        let connected = connected.unwrap();
        assert_eq!(connected.contexts.len(), 2);
        assert_eq!(&connected, accepted.unwrap().negotiated());
    }
}
