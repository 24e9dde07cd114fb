//! CVE-2021-20286: the other side leaves at a moment that nobody thought of. A server that went away while an option was
//! negotiated made a client fail an assertion.
//!
//! We promise, in both roles and at any moment: a clean error that tells where it was, and exactly one end for each command
//! and each request.

use nbd_proto::error::{CommandError, Ended, Error};
use nbd_proto::handshake::{Connect, ReplyStyle, ServerHandshakeSettings, ServerTls, TlsPolicy};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{ChunkType, CommandType};
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes as option;
use crate::accept::session::{Session, plain};
use crate::client::harness::{CHUNKED, STYLES, Seen, link};
use crate::client::server::{LAST, MORE, OK, data, simple};
use crate::connect::bytes::{self, GO, STARTTLS};
use crate::connect::peer::{Peer, bare};
use crate::server::client::request;
use crate::server::harness::{Seen as Served, each_style};

fn between(awaiting: &'static str) -> Error {
    Ended::AtBoundary { awaiting }.into()
}

fn inside(within: &'static str) -> Error {
    Ended::InMessage { within }.into()
}

#[test]
fn a_server_leaves_during_the_handshake() {
    let info = bytes::info_export(GO, 4096, 1);
    for (peer, expected) in [
        (Peer::says(b""), between("the greeting")),
        (Peer::says(b"NBDMAGICI"), inside("the greeting")),
        (Peer::fixed(), between("an option reply")),
        (Peer::fixed().then(&info[..30]), inside("an option reply")),
        // Size and flags are known, but nothing is agreed.
        (Peer::fixed().then(&info), between("an option reply")),
    ] {
        assert_eq!(peer.run(Connect::new(bare("disk"))).error(), expected);
        assert_eq!(peer.run_bytewise(Connect::new(bare("disk"))).error(), expected);
    }
    let run = Peer::fixed().ack(STARTTLS).run(Connect::new(bare("disk").with_tls(TlsPolicy::Required)));
    assert_eq!(run.error(), between("the TLS handshake"));
}

#[test]
fn a_client_leaves_during_the_handshake() {
    let go = option::option(&option::go("disk", &[]));
    let settings = ServerHandshakeSettings::default().with_tls(ServerTls::Offered);
    let start_tls = option::option(&OptionRequest::StartTls);
    for (sent, expected) in [
        (&b""[..], between("an option")),
        (&go[..7], inside("an option")),
        (&go[..go.len() - 1], inside("an option")),
        (&go, between("the answer to an option")),
        (&start_tls, between("the TLS handshake")),
    ] {
        let mut session = Session::greeted(settings.clone(), 3);
        session.send(sent);
        assert_eq!(session.server.eof(), expected);
        session.ends_with(expected);
    }
    let mut session = Session::fixed();
    session.offered(&option::go("disk", &[]), &plain());
    assert_eq!(session.server.eof(), between("the first request"));
}

#[test]
fn a_server_leaves_between_request_and_reply() {
    for style in STYLES {
        let mut link = link(style);
        let waiting = [Command::read(0, 64), Command::write(64, 64), Command::flush()].map(|one| link.submit(one));
        // Of this one the request is half sent.
        let half = link.queue(Command::write(128, 64));
        link.send(40);
        link.client.eof();
        link.poll();
        assert_eq!(link.assert_over(), between("a reply"));
        let lost = || Err(CommandError::Connection(between("a reply")));
        let mut seen = link.seen();
        seen.sort_by_key(|event| format!("{event:?}"));
        let mut expected: Vec<_> = waiting.into_iter().chain([half]).map(|cookie| Seen::Done(cookie, lost())).collect();
        expected.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_server_leaves_in_the_middle_of_a_chunk() {
    for style in STYLES {
        let mut link = link(style);
        let (read, flush) = (link.submit(Command::read(0, 64)), link.submit(Command::flush()));
        let reply = match style {
            ReplyStyle::Simple => [simple(read, OK), vec![7; 64]].concat(),
            _ => link.chunk(read, LAST, &data(0, &[7; 64])),
        };
        link.feed(&reply[..reply.len() - 1]);
        link.client.eof();
        link.poll();
        assert_eq!(link.assert_over(), inside("a reply"));
        let lost = Err(CommandError::Connection(inside("a reply")));
        let seen = link.seen();
        for cookie in [read, flush] {
            assert_eq!(seen.iter().filter(|event| **event == Seen::Done(cookie, lost.clone())).count(), 1, "{seen:?}");
        }
    }
}

/// Between two chunks of one reply as well: the read has had some of its bytes, and fails all the same.
#[test]
fn a_server_leaves_between_two_chunks() {
    for style in CHUNKED {
        let mut link = link(style);
        let read = link.submit(Command::read(0, 64));
        link.feed(&link.chunk(read, MORE, &data(0, &[7; 32])));
        link.feed(&link.header(read, LAST, ChunkType::OFFSET_DATA, 40)[..10]);
        link.client.eof();
        link.poll();
        let lost = CommandError::Connection(link.assert_over());
        assert_eq!(link.seen().last(), Some(&Seen::Done(read, Err(lost))));
    }
}

#[test]
fn a_client_leaves_in_the_middle_of_a_write() {
    each_style(|link| {
        link.ask(1, CommandType::READ, 0, 512);
        let write = request(link.style, 2, CommandType::WRITE, CommandFlags::empty(), 0, 10);
        link.feed(&[&write[..], &[7; 9]].concat());
        assert_eq!(link.eof(), inside("the payload of a request"));
        let mut ends: Vec<_> = link.seen().into_iter().filter(|event| matches!(event, Served::Done(..))).collect();
        ends.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(ends, [Served::Done(0, false), Served::Done(1, false)]);
    });
}

#[test]
fn a_client_leaves_between_request_and_reply() {
    each_style(|link| {
        link.ask(1, CommandType::READ, 0, 512);
        link.finish(0).unwrap_err();
        assert_eq!(link.eof(), between("a request"));
        assert_eq!(link.seen().last(), Some(&Served::Done(0, false)));
        // The answer comes too late, and that is no fault.
        assert!(link.finish_read(0, &[]).is_err());
    });
}
