//! A slow backend holds up nobody but those who wait for it.

use std::sync::Arc;

use crate::disk::{Call, TestDisk};
use crate::driver::{Export, ServerOptions};
use crate::gate::Gate;
use crate::raw::{READ, Raw};
use crate::support::{MIB, must_end, serve, serve_with};

/// Reads of the first block wait at the gate.
fn gated(gate: &Arc<Gate>) -> TestDisk {
    let gate = gate.clone();
    TestDisk::patterned(MIB, 1).hook(move |call| {
        if matches!(call, Call::Read { offset: 0, .. }) {
            gate.pass();
        }
        Ok(())
    })
}

#[test]
fn replies_overtake_a_slow_one() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let server = serve(gated(&gate).share());
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 1, 0, 16);
        gate.expect(1);
        for cookie in 2..10 {
            raw.request(READ, cookie, 4096, 16);
            assert_eq!(raw.simple_reply(), (0, cookie));
            raw.many(16);
        }
        gate.open();
        assert_eq!(raw.simple_reply(), (0, 1));
        raw.many(16);
        server.end();
    });
}

#[test]
fn other_connections_go_on_while_all_threads_of_one_are_held() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let export = Export::shared("disk", gated(&gate).share());
        let server = serve_with(ServerOptions::new().threads_per_connection(3), [export]);
        let mut raw = Raw::simple(&server.socket());
        for cookie in 0..20 {
            raw.request(READ, cookie, 0, 16);
        }
        gate.expect(3);
        let other = server.connect();
        for _ in 0..10 {
            other.read_at(&mut [0; 4096], 4096).unwrap();
        }
        other.shutdown().unwrap();
        // No more threads than were allowed.
        assert_eq!(gate.arrived(), 3);
        gate.open();
        let mut cookies: Vec<_> = (0..20)
            .map(|_| {
                let (error, cookie) = raw.simple_reply();
                assert_eq!(error, 0);
                raw.many(16);
                cookie
            })
            .collect();
        cookies.sort_unstable();
        assert!(cookies.into_iter().eq(0..20));
        server.end();
    });
}
