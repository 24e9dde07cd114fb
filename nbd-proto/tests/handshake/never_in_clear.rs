//! With TLS required, nothing that matters is sent in clear, whatever the server answers.

use nbd_proto::handshake::{Connect, Flow, HandshakeSettings, List, ListSettings, Status, TlsPolicy};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bytes::{self, ABORT, ERRORS, STARTTLS, option};
use crate::engine::Engine;
use crate::interactive::every_option;
use crate::peer::Peer;

const SECRET: &str = "secret-export";

/// The client's flags, then nothing but `STARTTLS`, and `ABORT` as the last.
fn is_harmless(clear: &[u8]) -> bool {
    let Some((flags, mut options)) = clear.split_first_chunk::<4>() else { return clear.is_empty() };
    while let Some(rest) = options.strip_prefix(&option(STARTTLS, b"")[..]) {
        options = rest;
    }
    matches!(flags, [0, 0, 0, 1 | 3]) && (options.is_empty() || options == option(ABORT, b""))
}

/// A reply to `STARTTLS`, or to what a server wishes had been asked.
fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![4 => Just(STARTTLS), 1 => 1u32..12, 1 => any::<u32>()];
    let kind = prop_oneof![
        2 => Just(bytes::REP_ACK),
        4 => proptest::sample::select(ERRORS.to_vec()),
        1 => 1u32..5,
        1 => any::<u32>(),
    ];
    let payload = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..24)];
    (option, kind, payload).prop_map(|(option, kind, payload)| bytes::reply(option, kind, &payload))
}

/// A server that may say anything at all, most of it nearly right.
fn any_server() -> impl Strategy<Value = Peer> {
    let hello = prop_oneof![
        6 => Just(bytes::greeting(3)),
        2 => any::<u16>().prop_map(bytes::greeting),
        1 => Just(bytes::oldstyle(512, 1)),
        1 => vec(any::<u8>(), 0..32),
    ];
    let said = prop_oneof![8 => any_reply(), 1 => vec(any::<u8>(), 0..64)];
    (hello, vec(said, 0..6)).prop_map(|(hello, said)| Peer::says(hello).then(said.concat()))
}

proptest! {
    #[test]
    fn a_connect_shows_nothing(peer in any_server(), pieces in vec(1usize..40, 1..20)) {
        let settings = nbd_proto::handshake::ConnectSettings::new(SECRET)
            .with_tls(TlsPolicy::Required)
            .with_list_contexts(true)
            .with_meta_context("secret:context");
        for flow in [settings.clone(), settings.with_extended_headers(false)] {
            let mut pieces = pieces.iter().copied().cycle();
            let run = peer.run_in_pieces(Connect::new(flow), &mut |_| pieces.next().unwrap());
            prop_assert!(is_harmless(&run.clear), "{:?}", run.clear);
            prop_assert!(run.tls.is_none() && run.result().is_err());
        }
    }

    #[test]
    fn a_listing_shows_nothing(peer in any_server()) {
        let run = peer.run(List::new(ListSettings::default().with_tls(TlsPolicy::Required)));
        prop_assert!(is_harmless(&run.clear), "{:?}", run.clear);
        prop_assert!(run.tls.is_none() && run.result().is_err());
    }

    // A caller who tries everything at every turn.
    #[test]
    fn a_caller_cannot_show_anything(peer in any_server(), choices in vec(0usize..12, 1..20)) {
        let mut engine = Engine::new(HandshakeSettings::default().with_tls(TlsPolicy::Required));
        let mut options = every_option(SECRET);
        options.push(OptionRequest::Unknown { option: OptionCode::STARTTLS, payload: SECRET.as_bytes() });
        let (mut out, mut from, mut choices) = (Vec::new(), 0, choices.into_iter());
        while let Ok(advance) = engine.handshake.input(&peer.clear[from..], &mut out) {
            from += advance.consumed;
            if engine.status() == Status::Choose {
                let Some(choice) = choices.next() else { break };
                let _ = engine.handshake.choose(&options[choice], &mut out);
            } else if advance.consumed == 0 {
                break;
            }
        }
        prop_assert!(is_harmless(&out), "{:?}", out);
    }
}

#[test]
fn a_time_out_shows_nothing() {
    let mut flow = Connect::new(nbd_proto::handshake::ConnectSettings::new(SECRET).with_tls(TlsPolicy::Required));
    let mut out = Vec::new();
    flow.input(&bytes::greeting(3), &mut out).unwrap();
    flow.give_up("timed out");
    assert!(is_harmless(&out));
}
