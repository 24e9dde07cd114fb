//! Clients that connect and get no further: they harm nobody.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use crate::disk::TestDisk;
use crate::driver::{Client, Export, ServerOptions};
use crate::raw::{ERR_POLICY, OPT_ABORT, OPT_LIST, Raw};
use crate::support::{MIB, message, must_end, serve_with};

fn export() -> Export {
    Export::shared("disk", TestDisk::patterned(MIB, 1).share())
}

#[test]
fn the_oldest_is_dropped_for_a_newer_one() {
    must_end(|| {
        let server = serve_with(ServerOptions::new().max_connections(2), [export()]);
        let established = server.connect();
        let mut idle: Vec<_> = (0..7).map(|_| Raw::greeted(&server.socket())).collect();
        for dropped in &mut idle[..5] {
            dropped.expect_end();
        }
        // The newest two are there, and those who use an export are not touched.
        for kept in &mut idle[5..] {
            kept.option(OPT_LIST, &[]);
            kept.option_reply();
        }
        established.read_at(&mut [0; 512], 0).unwrap();
        let another = server.connect();
        another.read_at(&mut [0; 512], 0).unwrap();
        established.shutdown().unwrap();
        another.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn a_handshake_has_its_time() {
    must_end(|| {
        let limit = Duration::from_millis(50);
        let server = serve_with(ServerOptions::new().handshake_timeout(Some(limit)), [export()]);
        // Silent, half-way in an option, and talkative without end.
        let mut silent = Raw::connect(&server.socket());
        let _greeting: [u8; 18] = silent.bytes();
        silent.expect_end();
        let mut half = Raw::greeted(&server.socket());
        half.send(b"IHAVEOPT");
        half.expect_end();
        let mut talkative = Raw::greeted(&server.socket());
        let list = [b"IHAVEOPT", &OPT_LIST.to_be_bytes()[..], &0u32.to_be_bytes()].concat();
        // Until the server hangs up, each question has an answer.
        while talkative.0.write_all(&list).is_ok() && talkative.0.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        let used = server.connect();
        used.read_at(&mut [0; 512], 0).unwrap();
        used.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn one_client_too_many_is_told_so() {
    must_end(|| {
        let server = serve_with(ServerOptions::new().max_connections(2), [export()]);
        let [first, second] = [server.connect(), server.connect()];
        assert_eq!(server.running.connections(), 2);
        let mut raw = Raw::greeted(&server.socket());
        let (error, text) = raw.go("disk").unwrap_err();
        assert_eq!(error, ERR_POLICY);
        assert_eq!(text, "the limit of clients at once is reached (2)");
        let text = message(Client::connect(&server.uri));
        assert!(text.contains("the limit of clients at once is reached (2)"), "{text}");
        // It may wait in the handshake for somebody to leave.
        first.shutdown().unwrap();
        while raw.go("disk").is_err() {}
        assert_eq!(server.running.connections(), 2);
        second.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn a_goodbye_is_answered() {
    must_end(|| {
        let server = serve_with(ServerOptions::new(), [export()]);
        let mut raw = Raw::greeted(&server.socket());
        raw.option(OPT_ABORT, &[]);
        assert_eq!(raw.option_reply().0, 1);
        raw.expect_end();
        server.end();
    });
}

#[test]
fn nonsense_ends_the_connection_and_no_other() {
    must_end(|| {
        let server = serve_with(ServerOptions::new(), [export()]);
        let mut raw = Raw::connect(&server.socket());
        let _greeting: [u8; 18] = raw.bytes();
        raw.send(b"GET / HTTP/1.1\r\n\r\n");
        raw.expect_end();
        let mut raw = Raw::simple(&server.socket());
        raw.send(&[0; 28]);
        raw.expect_end();
        let client = server.connect();
        client.read_at(&mut [0; 512], 0).unwrap();
        client.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn whoever_asks_and_does_not_listen_costs_little() {
    must_end(|| {
        let exports = (0..1000).map(|number| {
            let name = format!("export {number} {}", "x".repeat(1000));
            Export::shared(name, TestDisk::empty(1).share())
        });
        let server = serve_with(ServerOptions::new(), exports.chain([export()]));
        let mut raw = Raw::greeted(&server.socket());
        raw.0.set_nonblocking(true).unwrap();
        // Asks for as many lists as fit between the two: the server stops reading.
        let list = [b"IHAVEOPT", &OPT_LIST.to_be_bytes()[..], &0u32.to_be_bytes()].concat();
        let many = list.repeat(4096);
        let mut sent = 0;
        // Given a moment for each, a server that reads would get them all.
        while sent < 64 * many.len() && raw.takes_within(Duration::from_millis(200)) {
            match raw.0.write(&many) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        assert!(sent < 64 * many.len(), "the server takes questions without end");
        let client = server.connect();
        client.read_at(&mut [0; 512], 0).unwrap();
        client.shutdown().unwrap();
        server.end();
    });
}
