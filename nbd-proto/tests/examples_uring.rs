//! The example for `io_uring`, run against real servers.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/example.rs"]
mod example;

use std::process::{Command, Output};

use example::example;
use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, must_end, skip};

/// `None` where the kernel has no `io_uring` for us.
fn run(server: &Server) -> Option<Output> {
    let mut command = Command::new(example("io_uring"));
    command.arg(server.uri());
    let output = must_end(move || command.output().unwrap());
    if String::from_utf8_lossy(&output.stderr).contains("io_uring cannot be had") {
        skip("needs io_uring, which the kernel or a sandbox denies");
        return None;
    }
    Some(output)
}

/// Runs it against a server of 16 MiB.
fn fill_and_read_back(server: &Server) {
    let Some(output) = run(server) else { return };
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<usize> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [256, in_place] = numbers[..] else { panic!("{said}") };
    assert!(((16 << 20) / 10 * 9..=16 << 20).contains(&in_place), "{said}");
}

#[test]
fn io_uring_fills_a_disk_and_reads_it_back() {
    let Some(server) = Nbdkit::memory("16M").start() else { return };
    fill_and_read_back(&server);
    // Not the first one's bytes: a second run finds its own.
    fill_and_read_back(&server);
}

#[test]
fn io_uring_goes_over_tcp() {
    let Some(server) = Nbdkit::memory("16M").tcp().start() else { return };
    fill_and_read_back(&server);
}

#[test]
fn io_uring_needs_no_structured_replies() {
    let Some(server) = Nbdkit::memory("16M").no_structured_replies().start() else { return };
    fill_and_read_back(&server);
}

#[test]
fn io_uring_needs_no_structured_replies_over_tcp() {
    let Some(server) = Nbdkit::memory("16M").no_structured_replies().tcp().start() else { return };
    fill_and_read_back(&server);
}

#[test]
fn io_uring_goes_through_with_qemu_nbd() {
    let Some(server) = QemuNbd::new(Disk::patterned(16 << 20, 1)).start() else { return };
    fill_and_read_back(&server);
}

#[test]
fn io_uring_goes_through_with_qemu_nbd_over_tcp() {
    let Some(server) = QemuNbd::new(Disk::patterned(16 << 20, 1)).tcp().start() else { return };
    fill_and_read_back(&server);
}

#[test]
fn io_uring_says_so_if_what_it_reads_is_not_what_it_wrote() {
    // The server forgets all that is written.
    let Some(server) = Nbdkit::new("null").arg("16M").start() else { return };
    let Some(output) = run(&server) else { return };
    // By a panic, and not by a signal: dropping the connection has everything back.
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}
