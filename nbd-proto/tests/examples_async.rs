//! The examples for loops that are not `poll`, run against real servers.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "starts a program, and reads a file")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/example.rs"]
mod example;

use std::ffi::OsStr;
use std::process::Command;

use example::example;
use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, must_end};

const BLOCK: usize = 32 << 10;

/// Runs an example against a disk of 4 MiB, and looks at what it has left there.
fn tokio_tasks(server: &Server, address: &OsStr) {
    let mut command = Command::new(example("tokio_tasks"));
    command.arg(address);
    let output = must_end(move || command.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    // Each of the 64 tasks drops eight reads and one write.
    assert_eq!(said, "64 tasks wrote and read 512 blocks; 576 futures were dropped half way\n");
    let disk = std::fs::read(server.data_path()).unwrap();
    let dropped: Vec<_> = disk.chunks(BLOCK).skip(1).step_by(2).collect();
    assert_eq!(dropped.len(), 64);
    let mut whole = 0;
    for (block, task) in dropped.into_iter().zip(1..) {
        assert!([0, task].contains(&block[0]) && block.iter().all(|byte| *byte == block[0]), "task {task}");
        whole += usize::from(block[0] == task);
    }
    assert!(whole > 0, "no write was under way when its future was dropped");
}

#[test]
fn tokio_tasks_lose_nothing_but_what_they_drop_with_nbdkit() {
    let Some(server) = Nbdkit::disk(Disk::empty(4 << 20)).start() else { return };
    tokio_tasks(&server, server.socket().as_os_str());
}

#[test]
fn tokio_tasks_lose_nothing_but_what_they_drop_with_simple_replies() {
    let Some(server) = Nbdkit::disk(Disk::empty(4 << 20)).no_structured_replies().start() else { return };
    tokio_tasks(&server, server.socket().as_os_str());
}

#[test]
fn tokio_tasks_lose_nothing_but_what_they_drop_with_qemu() {
    let Some(server) = QemuNbd::new(Disk::empty(4 << 20)).start() else { return };
    tokio_tasks(&server, server.socket().as_os_str());
}
