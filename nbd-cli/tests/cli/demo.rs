//! `nbd demo` shows everything, and needs nothing.

use std::fs::{self, File};
use std::process::Stdio;

use crate::common::{Run, command, nbd};

#[test]
fn all_parts_are_shown() {
    let run = nbd(["demo"]).ok();
    for part in [
        "1. A server",
        "nbd+unix:///demo?socket=",
        "2. A client connects",
        "NBD_OPT_EXTENDED_HEADERS",
        "NBD_OPT_GO: the disk \"demo\"",
        "NBD_REP_INFO: 268435456 bytes",
        "Agreed: extended replies",
        "3. Requests",
        "NBD_CMD_WRITE 70001 bytes",
        "NBD_REPLY_TYPE_OFFSET_DATA: 70001 bytes",
        "each byte is right",
        "4. Which parts of the disk hold data",
        "###",
        "...",
        "5. How fast",
        "MiB/s",
        "All that was read is what was written.",
        "nbd serve memory:1G",
    ] {
        assert!(run.text().contains(part), "{part}: {}", run.text());
    }
}

#[test]
fn it_fits_a_terminal_and_is_plain_text() {
    let run = nbd(["demo", "--tcp", "--size=1T"]).ok();
    for line in run.text().lines() {
        assert!(line.len() <= 80, "{line}");
        assert!(line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{line:?}");
    }
}

#[test]
fn any_size_from_4_mib_will_do() {
    for size in ["4M", "5000000", "9223372036854775807"] {
        assert!(nbd(["demo", "--size", size]).ok().text().contains("each byte is right"), "{size}");
    }
    for size in ["0", "4194303", "much"] {
        let run = nbd(["demo", "--size", size]);
        assert_eq!(run.code, Some(1), "{size}");
        assert!(run.bytes.is_empty() && run.errors.contains("--size"), "{run:?}");
    }
}

#[test]
fn nothing_stays_behind() {
    let dir = tempfile::tempdir().unwrap();
    let output = command().arg("demo").env("TMPDIR", dir.path()).output().unwrap();
    let run = Run::from(output).ok();
    assert!(run.text().contains(dir.path().to_str().unwrap()), "the socket was elsewhere");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn over_tcp_it_needs_no_directory() {
    let output = command().args(["demo", "--tcp", "--size=4M"]).env("TMPDIR", "/no/such/dir").output().unwrap();
    Run::from(output).ok();
}

#[test]
fn output_that_nobody_takes_is_told() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command().arg("demo").stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    let failure = Run::from(output.unwrap()).failure();
    assert!(failure.contains("writing to standard output"), "{failure}");

    let mut child = command().arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, &run.errors[..]), (Some(141), ""));
}
