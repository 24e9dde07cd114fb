//! CVE-2019-15541: a client closes its connection, or only its half of it, and the loop that serves it is told so again and
//! again without doing anything about it: one processor is busy from then on.
//!
//! We promise: whatever is left to wait for when a client has gone, the backend or room for answers, the thread that serves
//! it sleeps meanwhile; and when nothing is left, the connection is over.

use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nbd_testkit::{await_rest, this_thread};

use crate::disk::{Call, TestDisk};
use crate::driver::{Export, ServerOptions};
use crate::gate::Gate;
use crate::raw::{OPT_GO, READ, Raw, WRITE, request};
use crate::support::{MIB, TestServer, must_end, serve_with};

/// A server whose first byte is at a gate, and the thread that serves the client who came last.
fn serve() -> (TestServer, Arc<Gate>, Arc<Mutex<PathBuf>>) {
    let (gate, thread) = (Arc::new(Gate::default()), Arc::new(Mutex::default()));
    let (at_gate, told) = (gate.clone(), thread.clone());
    let disk = TestDisk::patterned(64 * MIB, 1).hook(move |call| {
        if matches!(call, Call::Read { offset: 0, .. }) {
            at_gate.pass();
        }
        Ok(())
    });
    let disk = disk.share();
    let export = Export::opened_by("disk", move || {
        *told.lock().unwrap() = this_thread();
        Ok(disk.clone())
    });
    (serve_with(ServerOptions::new(), [export]), gate, thread)
}

fn until_nobody_is_connected(server: &TestServer) {
    while server.running.connections() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_goes_while_the_backend_is_at_work_keeps_nobody_busy() {
    for how in [None, Some(Shutdown::Write), Some(Shutdown::Read), Some(Shutdown::Both)] {
        // Between requests, in a header, and in the payload of a write.
        let write = request(WRITE, 2, 512, 100);
        for behind in [&[][..], &write[..20], &[&write[..], &[7; 50]].concat()] {
            let behind = behind.to_vec();
            must_end(move || {
                let (server, gate, thread) = serve();
                let mut raw = Raw::simple(&server.socket());
                raw.send(&[&request(READ, 1, 0, 512)[..], &behind].concat());
                gate.expect(1);
                let raw = how.map(|how| {
                    raw.0.shutdown(how).unwrap();
                    raw
                });
                await_rest(&thread.lock().unwrap());
                gate.open();
                drop(raw);
                until_nobody_is_connected(&server);
                server.end();
            });
        }
    }
}

#[test]
fn a_client_that_sends_no_more_and_takes_nothing_keeps_nobody_busy() {
    must_end(|| {
        let (server, _, thread) = serve();
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 1, 32 << 20);
        raw.0.shutdown(Shutdown::Write).unwrap();
        assert_eq!(raw.simple_reply(), (0, 1));
        await_rest(&thread.lock().unwrap());
        drop(raw);
        until_nobody_is_connected(&server);
        server.end();
    });
}

#[test]
fn a_client_that_goes_in_the_handshake_is_no_client_any_more() {
    must_end(|| {
        let (server, gate, thread) = serve();
        gate.open();
        // Each says one thing less; with the last, the handshake is through, and the first request not there yet.
        let go = [&b"IHAVEOPT"[..], &OPT_GO.to_be_bytes(), &10_u32.to_be_bytes(), b"\0\0\0\x04disk\0\0"].concat();
        for (how, length) in [Shutdown::Write, Shutdown::Both].into_iter().flat_map(|how| [0, 7, 25].map(|n| (how, n)))
        {
            let mut raw = Raw::greeted(&server.socket());
            raw.send(&go[..length]);
            raw.0.shutdown(how).unwrap();
            raw.expect_end();
        }
        let mut raw = Raw::simple(&server.socket());
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.expect_end();
        until_nobody_is_connected(&server);
        assert!(thread.lock().unwrap().starts_with("/proc"), "it was not served");
        server.end();
    });
}
