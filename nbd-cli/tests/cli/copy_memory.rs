//! Memory stays flat, however large the disk.

use std::fs::read_to_string;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nbd_testkit::Nbdkit;

use crate::common::command;

/// The most memory that a process has had so far, in KiB; `None` once it is over.
pub(crate) fn peak(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Copies, looks at the memory with each line of progress, and returns the peak in KiB.
fn peak_of_copy(args: &[&str]) -> u64 {
    let mut child = command().args(["copy", "--progress=2"]).args(args).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        assert!(line.ends_with("/100"), "{line}");
        most = most.max(peak(child.id()).unwrap_or(0));
    }
    assert!(child.wait().unwrap().success());
    assert!(most > 1000, "measured nothing");
    most
}

/// 64 requests of 256 KiB are 16 MiB; the rest is the program, unoptimized.
const BOUND: u64 = 48 << 10;

#[test]
fn of_8_gib_that_are_read() {
    let Some(source) = Nbdkit::new("pattern").arg("size=8G").start() else { return };
    let peak = peak_of_copy(&[&source.uri(), "null:"]);
    assert!(peak < BOUND, "{peak} KiB");
}

#[test]
fn of_data_with_holes_in_every_request() {
    // A hole every other block: each request is cut into many.
    let source = Nbdkit::new("data").arg("(0x01 @^4096 @0x1fff 0)*32768").arg("size=256M").filter("noextents");
    let Some(source) = source.start() else { return };
    let Some(destination) = Nbdkit::memory("256M").start() else { return };
    let peak = peak_of_copy(&[&source.uri(), &destination.uri()]);
    assert!(peak < BOUND, "{peak} KiB");
}

#[test]
fn of_a_map_with_very_many_extents() {
    let source = Nbdkit::new("sparse-random").arg("size=16G").arg("runlength=4096").arg("percent=0.5");
    let Some(source) = source.start() else { return };
    let peak = peak_of_copy(&[&source.uri(), "null:"]);
    assert!(peak < BOUND, "{peak} KiB");
}

#[test]
fn less_where_less_is_wanted() {
    let Some(source) = Nbdkit::new("pattern").arg("size=256M").start() else { return };
    let peak = peak_of_copy(&["--queue-size=1M", &source.uri(), "null:"]);
    assert!(peak < 24 << 10, "{peak} KiB");
}
