//! Memory that a time of many requests has left behind is given back when that is asked for, and nothing else changes.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;
#[path = "transmission/harness.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod harness;
#[path = "transmission/server.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod server;
#[path = "transmission_server/setup.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod setup;

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Client, Command, Event, RequestId, Server, ServerEvent, ServerSettings};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, Cookie};
use nbd_proto::wire::request::CompactRequest;

/// How many requests are in flight at the busy time.
const MANY: usize = 4096;
/// What may stay, beside what an engine has that was never busy.
const REST: usize = 4096;

fn client() -> Client {
    let setup = harness::Setup::new(ReplyStyle::Simple);
    harness::Setup { settings: setup.settings.with_max_in_flight(MANY), ..setup }.client()
}

fn submit(client: &mut Client) -> Cookie {
    let cookie = client.submit(Command::flush()).unwrap();
    client.sent(usize::MAX);
    cookie
}

fn answer(client: &mut Client, cookie: Cookie) {
    let reply = server::simple(cookie, server::OK);
    assert_eq!(client.input(&reply).unwrap().consumed, reply.len());
    let advance = client.input(b"").unwrap();
    assert!(matches!(advance.event, Some(Event::Done { cookie: done, result: Ok(()) }) if done == cookie));
}

#[test]
fn a_client_gives_back_what_many_requests_took() {
    let mut client = client();
    let fresh = counting::bytes();
    let mut cookies: Vec<_> = (0..MANY).map(|_| submit(&mut client)).collect();
    // The one that came last stays in flight.
    let last = cookies.pop().unwrap();
    cookies.drain(..).for_each(|cookie| answer(&mut client, cookie));
    drop(cookies);
    let busy = counting::bytes();
    client.shrink();
    assert!(counting::bytes() <= busy, "memory was taken, not given back");
    answer(&mut client, last);
    client.shrink();
    let (took, kept) = (busy - fresh, counting::bytes().saturating_sub(fresh));
    assert!(took > 16 * REST, "only {took} bytes were taken, which proves nothing");
    assert!(kept <= REST, "{kept} bytes were kept of {took}");

    // As good as new, and no cookie of before is given again.
    let next = submit(&mut client);
    assert!(next != last && client.in_flight() == 1);
    answer(&mut client, next);
}

fn server() -> Server {
    let settings = ServerSettings::default().with_max_in_flight(MANY);
    setup::Setup::new(ReplyStyle::Simple).with_settings(settings).server()
}

fn ask(server: &mut Server) -> RequestId {
    let mut request = Vec::new();
    let (flags, command) = (CommandFlags::empty(), CommandType::FLUSH);
    CompactRequest { flags, command, cookie: Cookie(7), offset: 0, length: 0 }.emit(&mut request);
    match server.input(&request).unwrap().event {
        Some(ServerEvent::Request(request)) => request.id,
        other => panic!("{other:?}"),
    }
}

fn finish(server: &mut Server, id: RequestId) {
    server.finish(id).unwrap();
    server.sent(usize::MAX);
    let advance = server.input(b"").unwrap();
    assert!(matches!(advance.event, Some(ServerEvent::Done { id: done, sent: true }) if done == id));
}

#[test]
fn a_server_gives_back_what_many_requests_took() {
    let mut server = server();
    let fresh = counting::bytes();
    let mut ids: Vec<_> = (0..MANY).map(|_| ask(&mut server)).collect();
    let last = ids.pop().unwrap();
    ids.drain(..).for_each(|id| finish(&mut server, id));
    drop(ids);
    let busy = counting::bytes();
    server.shrink();
    assert!(counting::bytes() <= busy, "memory was taken, not given back");
    finish(&mut server, last);
    server.shrink();
    let (took, kept) = (busy - fresh, counting::bytes().saturating_sub(fresh));
    assert!(took > 16 * REST, "only {took} bytes were taken, which proves nothing");
    assert!(kept <= REST, "{kept} bytes were kept of {took}");

    let next = ask(&mut server);
    assert!(next != last && server.in_flight() == 1);
    finish(&mut server, next);
}
