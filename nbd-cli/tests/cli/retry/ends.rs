//! When a copy fails all the same.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use nbd_testkit::{Phoenix, must_end, pattern};

use super::ours::ours;
use crate::common::{Run, command, nbd_fed};

const LENGTH: u64 = 4 << 20;

/// Copies from a server that something happens to when a tenth has come.
fn copy(retry: &[&str], happens: impl FnOnce(&mut Phoenix)) -> Run {
    let mut server = Phoenix::new(LENGTH, ours()).unwrap();
    server.start();
    let mut copy = command()
        .arg("copy")
        .args(retry)
        .args(["--no-extents", "--request-size=4k", "--requests=1", &server.uri(), "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = copy.stdout.take().unwrap();
    output.read_exact(&mut vec![0; LENGTH as usize / 10]).unwrap();
    happens(&mut server);
    output.read_to_end(&mut Vec::new()).unwrap();
    copy.wait_with_output().unwrap().into()
}

#[test]
fn without_the_option_the_first_loss_is_the_end() {
    must_end(|| {
        let error = copy(&[], Phoenix::rise).failure();
        assert!(error.contains("reading"), "{error}");
    });
}

#[test]
fn an_export_that_has_changed_is_not_read_on() {
    must_end(|| {
        let run = copy(&["--retry"], |server| {
            server.kill();
            server.file().set_len(LENGTH / 2).unwrap();
            server.start();
        });
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.errors.contains("the export had 4194304 bytes, and now has 2097152"), "{run:?}");
    });
}

#[test]
fn a_server_that_stays_away_is_waited_for_as_long_as_was_said() {
    must_end(|| {
        let run = copy(&["--retry=0.5"], Phoenix::kill);
        assert_eq!(run.code, Some(1), "{run:?}");
        let last = run.errors.lines().last().unwrap();
        assert!(last.contains("attempts in") && last.contains("--retry=SECONDS"), "{run:?}");
    });
}

/// Copies to a server that something happens to when a tenth has been taken.
fn copy_to(retry: &[&str], happens: impl FnOnce(&mut Phoenix)) -> Run {
    let mut server = Phoenix::new(LENGTH, ours()).unwrap();
    server.start();
    let mut copy = command()
        .arg("copy")
        .args(retry)
        .args(["--sparse=0", "--request-size=4k", "--requests=1", "-", &server.uri()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = copy.stdin.take().unwrap();
    let rest = pattern(LENGTH as usize, 3);
    let (first, rest) = rest.split_at(LENGTH as usize / 10);
    input.write_all(first).unwrap();
    happens(&mut server);
    // A copy that has failed takes no more.
    let _ = input.write_all(rest);
    drop(input);
    copy.wait_with_output().unwrap().into()
}

#[test]
fn without_the_option_the_first_loss_of_a_destination_is_the_end() {
    must_end(|| {
        let error = copy_to(&[], Phoenix::rise).failure();
        assert!(error.contains("writing"), "{error}");
    });
}

#[test]
fn an_export_that_has_changed_is_not_written_on() {
    must_end(|| {
        let run = copy_to(&["--retry"], |server| {
            server.kill();
            server.file().set_len(LENGTH / 2).unwrap();
            server.start();
        });
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.errors.contains("the export had 4194304 bytes, and now has 2097152"), "{run:?}");
    });
}

#[test]
fn a_destination_that_stays_away_is_waited_for_as_long_as_was_said() {
    must_end(|| {
        let run = copy_to(&["--retry=0.5"], Phoenix::kill);
        assert_eq!(run.code, Some(1), "{run:?}");
        let last = run.errors.lines().last().unwrap();
        assert!(last.contains("attempts in") && last.contains("--retry=SECONDS"), "{run:?}");
    });
}

/// This file takes what is written, but cannot be flushed: so it shows who tries.
#[test]
fn a_file_is_flushed_at_the_end_with_the_option_too() {
    must_end(|| {
        let to = "/proc/self/coredump_filter";
        nbd_fed(["copy", "-", to], b"0x33").ok();
        for option in ["--flush", "--retry"] {
            let error = nbd_fed(["copy", option, "-", to], b"0x33").failure();
            assert!(error.contains("flushing /proc/self/coredump_filter"), "{option}: {error}");
        }
    });
}
