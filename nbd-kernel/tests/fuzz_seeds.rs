//! Replays the committed seeds of the fuzz targets through their bodies.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::panic;
use std::path::Path;

/// Runs the body on each seed, on each prefix of it, and with each byte changed.
#[test]
fn netlink_reply_holds_its_invariants_on_all_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/netlink_reply");
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let mut seed = std::fs::read(&path).unwrap();
        let run = |data: &[u8], what: &str, place: usize| {
            let held = panic::catch_unwind(|| nbd_kernel::fuzzing::netlink_reply(data));
            assert!(held.is_ok(), "{}, {what} byte {place}", path.display());
        };
        run(&seed, "whole, to", seed.len());
        for place in 0..seed.len() {
            run(&seed[..place], "cut at", place);
            for change in [1, 0x80, 0xff] {
                seed[place] ^= change;
                run(&seed, "with another", place);
                seed[place] ^= change;
            }
        }
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}
