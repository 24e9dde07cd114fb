//! The end of a connection, from the client's side.

use std::sync::Arc;

use crate::disk::{Call, TestDisk};
use crate::gate::Gate;
use crate::raw::{DISC, READ, Raw, WRITE, request};
use crate::support::{MIB, must_end, serve};

#[test]
fn a_soft_disconnect_lets_requests_end_and_be_answered() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let at_gate = gate.clone();
        let disk = TestDisk::patterned(MIB, 1).hook(move |_| {
            at_gate.pass();
            Ok(())
        });
        let disk = disk.share();
        let server = serve(disk.clone());
        let mut raw = Raw::simple(&server.socket());
        let write = [&request(WRITE, 2, 0, 512)[..], &[7; 512]].concat();
        raw.send(&[&request(READ, 1, 4096, 100_000)[..], &write, &request(DISC, 0, 0, 0)].concat());
        gate.expect(2);
        gate.open();
        let mut cookies = Vec::new();
        for _ in 0..2 {
            let (error, cookie) = raw.simple_reply();
            assert_eq!(error, 0);
            raw.many(if cookie == 1 { 100_000 } else { 0 });
            cookies.push(cookie);
        }
        cookies.sort_unstable();
        assert_eq!(cookies, [1, 2]);
        raw.expect_end();
        assert_eq!(disk.bytes()[..512], [7; 512]);
        server.end();
    });
}

#[test]
fn what_comes_behind_a_goodbye_is_not_done() {
    must_end(|| {
        let disk = TestDisk::patterned(MIB, 1).share();
        let server = serve(disk.clone());
        let mut raw = Raw::simple(&server.socket());
        raw.send(&[request(DISC, 0, 0, 0), request(READ, 1, 0, 512)].concat());
        raw.expect_end();
        server.end();
        assert_eq!(disk.calls(), []);
    });
}

#[test]
fn a_client_that_vanishes_is_cleaned_up_behind_its_requests() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let at_gate = gate.clone();
        let disk = TestDisk::patterned(MIB, 1).hook(move |call| {
            if matches!(call, Call::Read { .. }) {
                at_gate.pass();
            }
            Ok(())
        });
        let server = serve(disk.share());
        let mut raw = Raw::simple(&server.socket());
        for cookie in 0..4 {
            raw.request(READ, cookie, 0, 4096);
        }
        gate.expect(4);
        drop(raw);
        let other = server.connect();
        other.flush().unwrap();
        other.shutdown().unwrap();
        gate.open();
        // By itself, and not because the server ends.
        while server.running.connections() > 0 {
            std::thread::yield_now();
        }
        server.end();
    });
}

#[test]
fn writes_that_came_before_the_end_are_done() {
    must_end(|| {
        let disk = TestDisk::empty(MIB).share();
        let server = serve(disk.clone());
        let mut raw = Raw::simple(&server.socket());
        let write = [&request(WRITE, 2, 0, 512)[..], &[7; 512]].concat();
        raw.send(&write);
        raw.0.shutdown(std::net::Shutdown::Write).unwrap();
        // Half a connection is enough for the answer.
        assert_eq!(raw.simple_reply(), (0, 2));
        raw.expect_end();
        assert_eq!(disk.bytes()[..512], [7; 512]);
        server.end();
    });
}
