//! A missing program is a skip with one line, or a failure where peers are required.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::process::{Command, Output};

use nbd_testkit::{NbdServer, Nbdkit, QemuNbd, Tool, require};

/// Runs one test of this file in a process that finds no programs.
fn run(test: &str, require_peers: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env("NBD_TESTKIT_INNER", "1")
        .env("PATH", "/nonexistent")
        .env_remove("NBD_TEST_REQUIRE_PEERS");
    if require_peers {
        command.env("NBD_TEST_REQUIRE_PEERS", "1");
    }
    command.output().unwrap()
}

fn is_inner() -> bool {
    std::env::var_os("NBD_TESTKIT_INNER").is_some()
}

#[test]
fn every_skip_is_one_line() {
    if is_inner() {
        assert!(Nbdkit::memory("1M").start().is_none());
        assert!(QemuNbd::new(nbd_testkit::Disk::empty(512)).bitmap("b", 512, &[]).start().is_none());
        assert!(NbdServer::new().start().is_none());
        assert!(!require(&[Tool::Nbdinfo, Tool::Nbdcopy]));
        assert!(!Tool::QemuNbd.at_least(8, 2));
        return;
    }
    let output = run("every_skip_is_one_line", false);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "skipped: needs nbdkit (Debian: apt-get install nbdkit)\n\
         skipped: needs qemu-nbd (Debian: apt-get install qemu-utils)\n\
         skipped: needs nbd-server (Debian: apt-get install nbd-server)\n\
         skipped: needs nbdinfo (Debian: apt-get install libnbd-bin)\n\
         skipped: needs qemu-nbd (Debian: apt-get install qemu-utils)\n"
    );
}

#[test]
fn required_peers_must_be_there() {
    if is_inner() {
        Nbdkit::memory("1M").start();
        return;
    }
    let output = run("required_peers_must_be_there", true);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = "NBD_TEST_REQUIRE_PEERS=1, and this test needs nbdkit (Debian: apt-get install nbdkit)";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn no_version_is_new_enough_for_the_far_future() {
    if is_inner() {
        assert!(!Tool::Nbdkit.at_least(9999, 0));
        return;
    }
    if !require(&[Tool::Nbdkit]) {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["no_version_is_new_enough_for_the_far_future", "--exact", "--nocapture"])
        .env("NBD_TESTKIT_INNER", "1")
        .env_remove("NBD_TEST_REQUIRE_PEERS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "skipped: needs nbdkit 9999.0 or newer (Debian: apt-get install nbdkit)\n"
    );
}
