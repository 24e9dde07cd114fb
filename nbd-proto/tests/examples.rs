//! The examples, run against a real server.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use nbd_testkit::Nbdkit;

/// Cargo builds the examples of a crate together with its tests, into a folder beside them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    profile.join("examples").join(name)
}

#[test]
fn plain_loop_writes_and_reads_a_block() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let output = Command::new(example("plain_loop")).arg(server.socket()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "1048576 bytes, structured replies\nwrote a block and read it back\n");
}
