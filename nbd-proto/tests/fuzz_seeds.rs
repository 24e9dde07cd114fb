//! Replays the committed seeds of the fuzz targets through their bodies.

use std::path::Path;

/// Runs a body on each seed, and on each prefix of it.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).expect("the seeds are committed") {
        let path = entry.expect("the folder can be read").path();
        let seed = std::fs::read(&path).expect("a seed can be read");
        // Shown where the body panics.
        eprintln!("{}", path.display());
        for end in 0..=seed.len() {
            body(&seed[..end]);
        }
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn option_reply_holds_its_invariants_on_all_seeds() {
    replay("option_reply", nbd_proto::fuzzing::option_reply);
}

#[test]
fn structured_chunk_holds_its_invariants_on_all_seeds() {
    replay("structured_chunk", nbd_proto::fuzzing::structured_chunk);
}
