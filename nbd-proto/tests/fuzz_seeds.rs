//! Replays the committed seeds of the fuzz targets through their bodies.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::panic;
use std::path::Path;

/// Of how many prefixes of a seed a body gets its share at the most. Recorded seeds are long.
const PREFIXES: usize = 256;

/// Runs a body on each seed, and on its prefixes: all of them, or some that are evenly spread.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let seed = std::fs::read(&path).unwrap();
        let step = seed.len().div_ceil(PREFIXES).max(1);
        for end in (0..seed.len()).step_by(step).chain([seed.len()]) {
            let held = panic::catch_unwind(|| body(&seed[..end]));
            assert!(held.is_ok(), "the first {end} bytes of {}", path.display());
        }
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn client_session_holds_its_invariants_on_all_seeds() {
    replay("client_session", nbd_proto::fuzzing::client_session);
}

#[test]
fn option_reply_holds_its_invariants_on_all_seeds() {
    replay("option_reply", nbd_proto::fuzzing::option_reply);
}

#[test]
fn pair_holds_its_invariants_on_all_seeds() {
    replay("pair", nbd_proto::fuzzing::pair);
}

#[test]
fn server_session_holds_its_invariants_on_all_seeds() {
    replay("server_session", nbd_proto::fuzzing::server_session);
}

#[test]
fn structured_chunk_holds_its_invariants_on_all_seeds() {
    replay("structured_chunk", nbd_proto::fuzzing::structured_chunk);
}

#[test]
fn uri_holds_its_invariants_on_all_seeds() {
    replay("uri", nbd_proto::fuzzing::uri);
}

#[test]
fn wire_roundtrip_holds_its_invariants_on_all_seeds() {
    replay("wire_roundtrip", nbd_proto::fuzzing::wire_roundtrip);
}
