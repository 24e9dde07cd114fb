//! The examples, run against a real server.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[path = "common/example.rs"]
mod example;
#[path = "common/short.rs"]
mod short;

use example::example;
use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Server, Tool, require};

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

/// Runs `poll_loop` against a server on TCP that serves 16 MiB.
fn run_poll_loop(server: &Server) {
    let address = server.tcp_address().to_string();
    let output = Command::new(example("poll_loop")).args([&address, server.export()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "wrote 256 blocks, read 256 back in another order, and the server has hung up\n");
}

#[test]
fn poll_loop_fills_a_disk_and_reads_it_back() {
    let Some(server) = Nbdkit::memory("16M").tcp().start() else { return };
    run_poll_loop(&server);
    // Not the first one's bytes: a second run finds its own.
    run_poll_loop(&server);
}

#[test]
fn poll_loop_needs_no_structured_replies() {
    let Some(server) = Nbdkit::memory("16M").no_structured_replies().tcp().start() else { return };
    run_poll_loop(&server);
}

#[test]
fn poll_loop_goes_through_with_qemu_nbd() {
    let Some(server) = QemuNbd::new(Disk::patterned(16 << 20, 1)).export("disk").tcp().start() else { return };
    run_poll_loop(&server);
}

#[test]
fn poll_loop_goes_through_with_nbd_server() {
    let Some(server) = NbdServer::new().export("disk", Disk::patterned(16 << 20, 1)).tcp().start() else { return };
    run_poll_loop(&server);
}

#[test]
fn poll_loop_says_so_if_what_it_reads_is_not_what_it_wrote() {
    // The server forgets all that is written.
    let Some(server) = Nbdkit::new("null").arg("16M").tcp().start() else { return };
    let output = Command::new(example("poll_loop")).arg(server.tcp_address().to_string()).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

/// With one thread, the server reads nothing while it writes: both pipes get full.
#[test]
fn pipes_write_and_read_at_the_same_time() {
    if !require(&[Tool::Nbdkit]) {
        return;
    }
    let line = ["nbdkit", "--single", "--threads=1", "memory", "1M"];
    let output = Command::new(example("pipes")).args(line).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "wrote 524288 bytes, and read them back while writing as many more\n\
                    the server has ended: exit status: 0\n";
    assert_eq!(said, expected);
}

#[test]
fn each_example_has_less_than_150_lines() {
    short::all_are_short(env!("CARGO_MANIFEST_DIR"));
}
