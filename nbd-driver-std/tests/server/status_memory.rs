//! Answers to `BLOCK_STATUS` take memory as payload does.

use std::sync::Arc;

use crate::disk::{BASE, Call, TestDisk};
use crate::driver::{Export, ServerOptions};
use crate::gate::Gate;
use crate::raw::{BLOCK_STATUS, Raw, request};
use crate::support::{MIB, TestServer, must_end, serve_with};

/// About to use the export `disk`, with one metadata context.
fn with_context(server: &TestServer) -> Raw {
    let mut raw = Raw::with_replies_in_chunks(&server.socket());
    raw.set_context("disk", BASE).unwrap();
    raw.go("disk").unwrap();
    raw
}

#[test]
fn no_more_are_asked_for_than_there_is_memory_for() {
    must_end(|| {
        let gate = Arc::new(Gate::default());
        let at_gate = gate.clone();
        let disk = TestDisk::patterned(MIB, 1).hook(move |call| {
            if matches!(call, Call::Extents { .. }) {
                at_gate.pass();
            }
            Ok(())
        });
        let options = ServerOptions::new().max_memory(32 << 20).threads_per_connection(128);
        let server = serve_with(options, [Export::shared("disk", disk.share())]);
        let many: Vec<u8> = (0..100).flat_map(|cookie| request(BLOCK_STATUS, cookie, 0, 4096)).collect();
        let mut raw = with_context(&server);
        raw.send(&many);
        gate.expect(32);
        // Another connection has its own memory, and has had it when its requests are at the gate.
        let mut other = with_context(&server);
        other.send(&many);
        gate.expect(64);
        assert_eq!(gate.arrived(), 64);
        gate.open();
        for raw in [&mut raw, &mut other] {
            for _ in 0..100 {
                assert!(raw.chunk().last);
            }
        }
        server.end();
    });
}
