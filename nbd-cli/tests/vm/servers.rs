//! The guest itself: the servers that its kernel is to talk to.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use nbd_testkit::vm::GuestTest;
use nbd_testkit::{Nbdkit, guest_test};

pub(crate) const TESTS: &[GuestTest] = &[guest_test!(nbdkit_serves), guest_test!(our_server_serves)];

fn info(uri: &str) -> Output {
    Command::new("nbd").args(["info", uri]).output().unwrap()
}

fn nbdkit_serves() {
    let server = Nbdkit::memory("1M").start().unwrap();
    let output = info(&server.uri());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1048576"), "{output:?}");
}

fn our_server_serves() {
    let file = File::create("/tmp/disk").unwrap();
    file.set_len(3 << 20).unwrap();
    let mut server = Command::new("nbd")
        .args(["serve", "--unix", "/tmp/socket", "file:/tmp/disk"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It prints its URI once clients can connect. That it ends is the guest's business.
    let mut uri = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut uri).unwrap();
    let output = info(uri.trim_end());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("3145728"), "{output:?}");
    server.kill().unwrap();
    server.wait().unwrap();
}
