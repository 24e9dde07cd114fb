//! A stop: clean, quick, and sure to come.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Call, TestDisk};
use crate::driver::{Client, Export, Listener, Server, ServerOptions};
use crate::gate::Gate;
use crate::raw::{READ, Raw, WRITE, request};
use crate::support::{HANG, MIB, assert_same, must_end, serve, serve_with};

/// A disk whose reads wait at the gate.
fn gated(gate: &Arc<Gate>) -> TestDisk {
    let gate = gate.clone();
    TestDisk::patterned(MIB, 1).hook(move |call| {
        if matches!(call, Call::Read { .. }) {
            gate.pass();
        }
        Ok(())
    })
}

#[test]
fn idle_clients_are_hung_up_on_at_once() {
    must_end(|| {
        // The grace is longer than a test may take: nobody may wait for its end.
        let options = ServerOptions::new().stop_grace(10 * HANG);
        let server = serve_with(options, [Export::shared("disk", TestDisk::patterned(MIB, 1).share())]);
        let socket = server.socket();
        let mut fresh = Raw::connect(&socket);
        let _greeting: [u8; 18] = fresh.bytes();
        let mut half_open = Raw::greeted(&socket);
        let mut idle = Raw::simple(&socket);
        let mut used = Raw::simple(&socket);
        used.request(READ, 1, 0, 512);
        assert_eq!(used.simple_reply(), (0, 1));
        used.many(512);
        server.running.stop();
        for raw in [&mut fresh, &mut half_open, &mut idle, &mut used] {
            raw.expect_end();
        }
        assert_eq!(server.running.wait().unwrap().left_behind, 0);
        assert!(!socket.exists(), "the socket's file is still there");
    });
}

#[test]
fn requests_in_flight_are_answered() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let disk = gated(&gate).share();
        let server = serve_with(ServerOptions::new().stop_grace(10 * HANG), [Export::shared("disk", disk.clone())]);
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 500_000);
        gate.expect(1);
        server.running.stop();
        // Nobody else gets in.
        while std::os::unix::net::UnixStream::connect(server.socket()).is_ok() {}
        gate.open();
        assert_eq!(raw.simple_reply(), (0, 1));
        assert_same(&raw.many(500_000), &disk.bytes()[..500_000]);
        raw.expect_end();
        server.end();
    });
}

#[test]
fn requests_that_come_later_are_told_so() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let server =
            serve_with(ServerOptions::new().stop_grace(10 * HANG), [Export::shared("disk", gated(&gate).share())]);
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 512);
        gate.expect(1);
        server.running.stop();
        while std::os::unix::net::UnixStream::connect(server.socket()).is_ok() {}
        // The listener goes before the connections are told: ask until it has got about.
        let mut cookie = 2;
        loop {
            raw.send(&[&request(WRITE, cookie, 0, 512)[..], &[0; 512]].concat());
            let (error, answered) = raw.simple_reply();
            assert_eq!(answered, cookie);
            cookie += 1;
            match error {
                0 => {}
                108 => break,
                other => panic!("error {other}"),
            }
        }
        gate.open();
        assert_eq!(raw.simple_reply(), (0, 1));
        server.end();
    });
}

#[test]
fn after_the_grace_everybody_is_hung_up_on() {
    must_end(|| {
        let options = ServerOptions::new().stop_grace(Duration::from_millis(20));
        let export = Export::shared("disk", TestDisk::patterned(64 * MIB, 1).share());
        let server = serve_with(options, [export]);
        // One does not take its answer, one does not send its payload, one does not finish its option.
        let mut deaf = Raw::simple(&server.socket());
        deaf.request(READ, 1, 0, 32 << 20);
        // The backend is through with it.
        assert_eq!(deaf.simple_reply(), (0, 1));
        let mut slow = Raw::simple(&server.socket());
        slow.send(&[&request(WRITE, 2, 0, 512)[..], &[7; 100]].concat());
        let mut half = Raw::greeted(&server.socket());
        half.send(b"IHAVEOPT");
        server.end();
        slow.expect_end();
        half.expect_end();
    });
}

/// A disk whose reads hang is left behind by a stop.
pub(crate) fn is_left_behind(disk: impl FnOnce(TestDisk) -> TestDisk + Send + 'static) {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let options = ServerOptions::new().stop_grace(Duration::from_millis(20));
        let server = serve_with(options, [Export::shared("disk", disk(gated(&gate)).share())]);
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 512);
        gate.expect(1);
        server.running.stop();
        assert_eq!(server.running.wait().unwrap().left_behind, 1);
        raw.expect_end();
        gate.open();
    });
}

#[test]
fn a_backend_that_hangs_does_not_hold_up_the_stop() {
    is_left_behind(|disk| disk);
}

#[test]
fn a_server_that_is_dropped_stops() {
    must_end(|| {
        let server = serve(TestDisk::patterned(MIB, 1).share());
        let mut raw = Raw::simple(&server.socket());
        drop(server.running);
        raw.expect_end();
    });
}

#[test]
fn a_stopper_works_from_anywhere_and_more_than_once() {
    must_end(|| {
        let listener = Listener::tcp("127.0.0.1:0").unwrap();
        let (uri, port) = (listener.uri("disk").unwrap(), listener.port().unwrap());
        let export = Export::shared("disk", TestDisk::patterned(MIB, 1).share());
        let running = Server::new(ServerOptions::new()).export(export).start([listener]).unwrap();
        let client = Client::connect(&uri).unwrap();
        let stopper = running.stopper();
        let thread = std::thread::spawn(move || {
            stopper.stop();
            stopper.stop();
        });
        running.wait().unwrap();
        thread.join().unwrap();
        client.read_at(&mut [0; 512], 0).unwrap_err();
        TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    });
}

#[test]
fn clients_at_work_do_not_keep_it_from_stopping() {
    must_end(|| {
        let export = Export::shared("disk", TestDisk::patterned(MIB, 1).share());
        let server = serve_with(ServerOptions::new().stop_grace(10 * HANG), [export]);
        let clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| std::thread::spawn(move || while client.read_at(&mut [0; 4096], 0).is_ok() {}))
            .collect();
        let witness = server.connect();
        witness.read_at(&mut [0; 4096], 0).unwrap();
        server.end();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
