//! The example for `io_uring`, run against real servers.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/example.rs"]
mod example;

use std::ffi::OsStr;
use std::process::{Command, Output};

use example::example;
use nbd_testkit::{Disk, Nbdkit, QemuNbd, must_end, skip};

/// `None` where the kernel has no `io_uring` for us.
fn run(address: impl AsRef<OsStr>) -> Option<Output> {
    let mut command = Command::new(example("io_uring"));
    command.arg(address);
    let output = must_end(move || command.output().unwrap());
    if output.status.code() == Some(77) {
        skip("needs io_uring, which the kernel or a sandbox denies");
        return None;
    }
    Some(output)
}

/// Runs it against a server of 16 MiB.
fn fill_and_read_back(address: impl AsRef<OsStr>) {
    let Some(output) = run(address) else { return };
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (outcome, payload) = said.split_once('\n').unwrap();
    assert_eq!(outcome, "wrote 256 blocks, read 256 back in another order, and the server has hung up");
    let numbers: Vec<usize> = payload.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.iter().sum::<usize>(), 16 << 20, "{payload}");
    assert!(numbers[0] >= (16 << 20) / 10 * 9, "{payload}");
}

#[test]
fn io_uring_fills_a_disk_and_reads_it_back() {
    let Some(server) = Nbdkit::memory("16M").start() else { return };
    fill_and_read_back(server.socket());
    // Not the first one's bytes: a second run finds its own.
    fill_and_read_back(server.socket());
}

#[test]
fn io_uring_goes_over_tcp() {
    let Some(server) = Nbdkit::memory("16M").tcp().start() else { return };
    fill_and_read_back(server.tcp_address().to_string());
}

#[test]
fn io_uring_needs_no_structured_replies() {
    let Some(server) = Nbdkit::memory("16M").no_structured_replies().start() else { return };
    fill_and_read_back(server.socket());
}

#[test]
fn io_uring_needs_no_structured_replies_over_tcp() {
    let Some(server) = Nbdkit::memory("16M").no_structured_replies().tcp().start() else { return };
    fill_and_read_back(server.tcp_address().to_string());
}

#[test]
fn io_uring_goes_through_with_qemu_nbd() {
    let Some(server) = QemuNbd::new(Disk::patterned(16 << 20, 1)).start() else { return };
    fill_and_read_back(server.socket());
}

#[test]
fn io_uring_goes_through_with_qemu_nbd_over_tcp() {
    let Some(server) = QemuNbd::new(Disk::patterned(16 << 20, 1)).tcp().start() else { return };
    fill_and_read_back(server.tcp_address().to_string());
}

#[test]
fn io_uring_says_so_if_what_it_reads_is_not_what_it_wrote() {
    // The server forgets all that is written.
    let Some(server) = Nbdkit::new("null").arg("16M").start() else { return };
    let Some(output) = run(server.socket()) else { return };
    // By a panic, and not by a signal: dropping the connection has everything back.
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}
