//! When a copy fails all the same.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nbd_testkit::{Phoenix, must_end, pattern};

use super::ours::ours;
use crate::common::{Run, command, nbd_fed};

const LENGTH: usize = 4 << 20;

/// A copy from a server, or to one, that something happens to when a tenth has been read or taken.
type Copy = fn(&[&str], fn(&mut Phoenix)) -> Run;

const COPIES: [(Copy, &str); 2] = [(from, "reading"), (to, "writing")];

fn begin(retry: &[&str]) -> (Phoenix, Command) {
    let mut server = Phoenix::new(LENGTH as u64, ours()).unwrap();
    server.start();
    let mut copy = command();
    copy.arg("copy").args(retry).args(["--no-extents", "--sparse=0", "--request-size=4k", "--requests=1"]);
    copy.stderr(Stdio::piped());
    (server, copy)
}

fn from(retry: &[&str], happens: fn(&mut Phoenix)) -> Run {
    let (mut server, mut copy) = begin(retry);
    let mut copy = copy.args([&server.uri(), "-"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = copy.stdout.take().unwrap();
    output.read_exact(&mut vec![0; LENGTH / 10]).unwrap();
    happens(&mut server);
    output.read_to_end(&mut Vec::new()).unwrap();
    copy.wait_with_output().unwrap().into()
}

fn to(retry: &[&str], happens: fn(&mut Phoenix)) -> Run {
    let (mut server, mut copy) = begin(retry);
    let mut copy = copy.args(["-", &server.uri()]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = copy.stdin.take().unwrap();
    let source = pattern(LENGTH, 3);
    let (first, rest) = source.split_at(LENGTH / 10);
    input.write_all(first).unwrap();
    happens(&mut server);
    // A copy that has failed takes no more.
    let _ = input.write_all(rest);
    drop(input);
    copy.wait_with_output().unwrap().into()
}

#[test]
fn without_the_option_the_first_loss_is_the_end() {
    must_end(|| {
        for (copy, doing) in COPIES {
            let error = copy(&[], Phoenix::rise).failure();
            assert!(error.contains(doing), "{error}");
        }
    });
}

#[test]
fn an_export_that_has_changed_is_not_gone_on_with() {
    must_end(|| {
        for (copy, _) in COPIES {
            let run = copy(&["--retry"], |server| {
                server.kill();
                server.file().set_len(LENGTH as u64 / 2).unwrap();
                server.start();
            });
            assert_eq!(run.code, Some(1), "{run:?}");
            assert!(run.errors.contains("the export had 4194304 bytes, and now has 2097152"), "{run:?}");
        }
    });
}

#[test]
fn a_server_that_stays_away_is_waited_for_as_long_as_was_said() {
    must_end(|| {
        for (copy, _) in COPIES {
            let run = copy(&["--retry=0.5"], Phoenix::kill);
            assert_eq!(run.code, Some(1), "{run:?}");
            let last = run.errors.lines().last().unwrap();
            assert!(last.contains("attempts in") && last.contains("--retry=SECONDS"), "{run:?}");
        }
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
