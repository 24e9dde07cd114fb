//! What one client can cost is bounded, and others go on meanwhile.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::disk::{Call, TestDisk};
use crate::driver::nbd_proto::wire::flags::TransmissionFlags;
use crate::driver::{ConnectOptions, Export, ServerOptions};
use crate::gate::Gate;
use crate::raw::{READ, Raw, WRITE, request};
use crate::support::{MIB, assert_same, must_end, serve_with};

#[test]
fn no_more_requests_are_taken_than_may_be_in_flight() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let at_gate = gate.clone();
        let disk = TestDisk::patterned(MIB, 1).hook(move |_| {
            at_gate.pass();
            Ok(())
        });
        let export = Export::shared("disk", disk.share());
        let server = serve_with(ServerOptions::new().max_in_flight(3).threads_per_connection(16), [export]);
        let mut raw = Raw::simple(&server.socket());
        let many: Vec<u8> = (0..10).flat_map(|cookie| request(READ, cookie, 0, 1)).collect();
        raw.send(&many);
        gate.expect(3);
        // Another connection has its own places, and has had them when its requests are at the gate.
        let mut other = Raw::simple(&server.socket());
        other.send(&many);
        gate.expect(6);
        assert_eq!(gate.arrived(), 6);
        gate.open();
        for raw in [&mut raw, &mut other] {
            for _ in 0..10 {
                assert_eq!(raw.simple_reply().0, 0);
                raw.many(1);
            }
        }
        server.end();
    });
}

#[test]
fn where_one_connection_is_all_no_more_are_offered() {
    must_end(|| {
        for (connections, offered) in [(1, false), (2, true)] {
            let export = Export::shared("disk", TestDisk::patterned(MIB, 1).share());
            let server = serve_with(ServerOptions::new().max_connections(connections), [export]);
            let client = server.connect();
            assert_eq!(client.offers(TransmissionFlags::CAN_MULTI_CONN), offered);
            client.shutdown().unwrap();
            server.end();
        }
    });
}

/// Reads on behalf of a client that takes no answers, until the server does no more.
fn reads_done_for_a_deaf_client(disk: TestDisk) -> u64 {
    let done = Arc::new(AtomicU64::new(0));
    let counter = done.clone();
    let disk = disk.hook(move |call| {
        if let Call::Read { length, .. } = call {
            counter.fetch_add(*length as u64, Ordering::SeqCst);
        }
        Ok(())
    });
    let export = Export::shared("disk", disk.share());
    let server = serve_with(ServerOptions::new().max_memory(32 << 20).max_in_flight(65_536), [export]);
    let mut raw = Raw::simple(&server.socket());
    raw.0.set_nonblocking(true).unwrap();
    let many: Vec<u8> = (0..100).flat_map(|cookie| request(READ, cookie, 0, 1 << 20)).collect();
    let mut sent = 0;
    // As many as it takes: a server without a limit would read until the test's patience ends.
    while sent < 100 * many.len() && raw.takes_within(Duration::from_millis(200)) {
        match raw.0.write(&many[sent % many.len()..]) {
            Ok(count) => sent += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!(sent < 100 * many.len(), "the server reads requests without end");
    // Others go on.
    let client = server.connect();
    let mut buffer = vec![0; 512];
    client.write_at(&[7; 512], 0).unwrap();
    client.read_at(&mut buffer, 0).unwrap();
    assert_same(&buffer, &[7; 512]);
    client.shutdown().unwrap();
    let total = done.load(Ordering::SeqCst);
    drop(raw);
    server.end();
    total
}

#[test]
fn a_client_that_takes_no_answers_costs_no_more_than_its_memory() {
    must_end(|| {
        for disk in [TestDisk::patterned(MIB, 1), TestDisk::patterned(MIB, 1).immediate()] {
            let total = reads_done_for_a_deaf_client(disk);
            // What fits into the socket went out, and 512 bytes were somebody else's.
            assert!(total < 40 << 20, "{total} bytes were read for nobody");
        }
    });
}

#[test]
fn requests_wait_for_memory_and_all_are_done() {
    must_end(|| {
        let disk = TestDisk::patterned(64 * MIB, 1).share();
        let options = ServerOptions::new().max_memory(32 << 20);
        let server = serve_with(options, [Export::shared("disk", disk.clone())]);
        let client = ConnectOptions::new().connect(&server.uri).unwrap();
        let expected = disk.bytes();
        let mut queue = client.queue();
        for number in 0..40 {
            let length = if number % 5 == 0 { 20 << 20 } else { 300_000 };
            queue.read(vec![0; length], number * MIB).unwrap();
        }
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            let at = completion.command.offset as usize;
            assert_same(&completion.buffer, &expected[at..at + completion.buffer.len()]);
        }
        for number in 0..20 {
            queue.write(vec![number as u8; 10 << 20], number * 2 * MIB).unwrap();
        }
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
        }
        client.shutdown().unwrap();
        server.end();
    });
}

/// The memory of writes that never come in full is their own connection's.
#[test]
fn half_sent_writes_hold_up_nobody_else() {
    must_end(|| {
        let options = ServerOptions::new().max_memory(32 << 20);
        let server = serve_with(options, [Export::shared("disk", TestDisk::empty(64 * MIB).share())]);
        let mut half: Vec<_> = (0..4).map(|_| Raw::simple(&server.socket())).collect();
        for raw in &mut half {
            raw.send(&[&request(WRITE, 1, 0, 32 << 20)[..], &[7; 1000]].concat());
        }
        let client = server.connect();
        client.write_at(&vec![9; 32 << 20], 0).unwrap();
        client.shutdown().unwrap();
        drop(half);
        server.end();
    });
}

#[test]
fn what_waited_for_memory_is_not_begun_for_a_client_that_was_given_up() {
    must_end(|| {
        for immediate in [false, true] {
            let reads = Arc::new(AtomicU64::new(0));
            let counter = reads.clone();
            let disk = TestDisk::patterned(64 * MIB, 1).hook(move |call| {
                counter.fetch_add(u64::from(matches!(call, Call::Read { .. })), Ordering::SeqCst);
                Ok(())
            });
            let disk = if immediate { disk.immediate() } else { disk };
            let options = ServerOptions::new().max_memory(32 << 20).stall_timeout(Some(Duration::from_millis(50)));
            let server = serve_with(options, [Export::shared("disk", disk.share())]);
            let mut raw = Raw::simple(&server.socket());
            raw.send(&[request(READ, 1, 0, 32 << 20), request(READ, 2, 0, 32 << 20)].concat());
            while reads.load(Ordering::SeqCst) == 0 || server.running.connections() > 0 {
                std::thread::yield_now();
            }
            server.end();
            assert_eq!(reads.load(Ordering::SeqCst), 1);
        }
    });
}
