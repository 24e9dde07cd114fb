//! The examples, run against a real server.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[path = "common/example.rs"]
mod example;

use example::example;
use nbd_testkit::Nbdkit;

#[test]
fn plain_loop_writes_and_reads_a_block() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let output = Command::new(example("plain_loop")).arg(server.socket()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "1048576 bytes, structured replies\nwrote a block and read it back\n");
}

#[test]
fn plain_server_is_written_to_and_read_by_plain_loop() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut server = Command::new(example("plain_server")).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "listening");
    // The second one shows that the first was left in good order.
    let outputs = [0; 2].map(|_| Command::new(example("plain_loop")).arg(&socket).output().unwrap());
    server.kill().unwrap();
    server.wait().unwrap();
    for output in outputs {
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, "1048576 bytes, extended replies\nwrote a block and read it back\n");
    }
    assert!(said.next().is_none(), "the server complained");
}
