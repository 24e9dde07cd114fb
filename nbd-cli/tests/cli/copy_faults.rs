//! Servers that fail on the way. The copy fails too, and no byte is written that was not read.

use std::ffi::OsStr;
use std::io::Read as _;
use std::process::Stdio;

use nbd_testkit::{Disk, Nbdkit, pattern};

use crate::common::{command, memory, nbd, nbd_fed, read_back};

const LENGTH: usize = 8 << 20;

fn failing(when: &str) -> Nbdkit {
    Nbdkit::disk(Disk::patterned(LENGTH, 1))
        .filter("error")
        .arg(format!("error-{when}-rate=20%"))
        .arg(format!("error-{when}=EIO"))
}

/// Each block is as the source has it, or as the destination was.
#[track_caller]
fn assert_part_of(got: &[u8], source: &[u8], before: u8) {
    for (at, (got, source)) in got.chunks(512).zip(source.chunks(512)).enumerate() {
        assert!(got == source || got.iter().all(|&byte| byte == before), "block {at}");
    }
}

#[test]
fn a_read_that_fails() {
    // This server is known to crash when a client goes in the middle of its work, so each copy has its own.
    let copy = |to: &OsStr| {
        let source = failing("pread").start()?;
        Some((nbd([OsStr::new("copy"), source.uri().as_ref(), to]), source))
    };
    let Some(destination) = memory(Nbdkit::memory(&LENGTH.to_string())) else { return };
    nbd_fed(["copy", "-", &destination.uri()], &vec![0xa5; LENGTH]).ok();
    let Some((run, source)) = copy(destination.uri().as_ref()) else { return };
    let failure = run.failure();
    assert!(failure.contains("NBD_EIO") && failure.contains("reading") && failure.contains(&source.uri()), "{failure}");
    assert_part_of(&read_back(&destination.uri()), &pattern(LENGTH, 1), 0xa5);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    copy(file.as_ref()).unwrap().0.failure();
    assert_part_of(&std::fs::read(&file).unwrap(), &pattern(LENGTH, 1), 0);

    let (run, _source) = copy("-".as_ref()).unwrap();
    // In order, so that what came is a beginning.
    assert!(pattern(LENGTH, 1).starts_with(&run.bytes) && run.bytes.len() < LENGTH);
    run.failure();
    copy("null:".as_ref()).unwrap().0.failure();
}

#[test]
fn a_write_that_fails() {
    let Some(source) = Nbdkit::disk(Disk::patterned(LENGTH, 1)).start() else { return };
    let Some(destination) = failing("pwrite").start() else { return };
    let failure = nbd(["copy", &source.uri(), &destination.uri()]).failure();
    assert!(
        failure.contains("NBD_EIO") && failure.contains("writing") && failure.contains(&destination.uri()),
        "{failure}"
    );
}

#[test]
fn a_flush_that_fails() {
    let Some(destination) = Nbdkit::memory("1M").filter("error").arg("error-rate=0%").start() else { return };
    nbd(["copy", "--flush", "/dev/null", &destination.uri()]).ok();
    let server = Nbdkit::new("eval").arg("get_size=echo 1M").arg("pread=head -c $3 /dev/zero").arg("can_write=exit 0");
    let server = server.arg("can_flush=exit 0").arg("pwrite=cat >/dev/null").arg("flush=echo EIO lost it >&2; exit 1");
    let Some(destination) = server.start() else { return };
    let failure = nbd_fed(["copy", "--flush", "-", &destination.uri()], &[1; 1000]).failure();
    assert!(failure.contains("flushing") && failure.contains("NBD_EIO"), "{failure}");
}

#[test]
fn a_map_that_fails_is_done_without() {
    let Some(source) = failing("extents").start() else { return };
    let run = nbd(["copy", &source.uri(), "-"]).ok();
    assert!(run.bytes == pattern(LENGTH, 1));
}

#[test]
fn a_source_that_dies() {
    let slow = Nbdkit::new("pattern").arg("size=1G").filter("delay").arg("rdelay=2ms");
    let Some(mut source) = slow.start() else { return };
    let args = ["copy", &source.uri(), "-"];
    let mut child = command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut start = vec![0; 1 << 20];
    child.stdout.as_mut().unwrap().read_exact(&mut start).unwrap();
    source.kill();
    let run: crate::common::Run = child.wait_with_output().unwrap().into();
    let (count, rest) = (run.bytes.len(), &run.bytes);
    // Big-endian numbers of the places they are at.
    for at in (0..count - count % 8).step_by(8).step_by(64) {
        let expected = ((at + (1 << 20)) as u64).to_be_bytes();
        assert_eq!(rest[at..at + 8], expected, "at {at}");
    }
    let failure = run.failure();
    assert!(failure.contains("reading"), "{failure}");
}

#[test]
fn a_destination_that_dies() {
    let Some(mut destination) = Nbdkit::memory("1G").filter("delay").arg("wdelay=2ms").start() else { return };
    let args = ["copy", "--progress=2", "/dev/zero", &destination.uri(), "-S", "0"];
    let mut child = command().args(args).stderr(Stdio::piped()).spawn().unwrap();
    // The first line comes once both sides are open.
    let mut line = [0; 6];
    child.stderr.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"0/100\n");
    destination.kill();
    let run: crate::common::Run = child.wait_with_output().unwrap().into();
    let failure = run.failure();
    assert!(failure.contains("writing"), "{failure}");
}
