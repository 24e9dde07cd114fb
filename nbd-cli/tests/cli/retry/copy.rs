//! Copies from and to servers that are killed on the way.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use nbd_testkit::{Bird, Phoenix, must_end, pattern};

use super::ours::ours;
use crate::common::{Run, command};

const LENGTH: usize = 4 << 20;

/// So many bytes go through a pipe of the copy between two kills: more than the pipe and the copy hold, so that the
/// server has something to do each time.
const BETWEEN_KILLS: usize = 160 << 10;

fn copy(from: &str, to: &str) -> Command {
    let mut copy = command();
    // Zeroes would be nothing to do for the server.
    copy.args(["copy", "--retry", "--no-extents", "--sparse=0"]);
    copy.args(["--request-size=4k", "--requests=4", "--queue-size=16k", from, to]);
    copy.stderr(Stdio::piped());
    copy
}

fn assert_copied(copy: Child, kills: usize) {
    let run: Run = copy.wait_with_output().unwrap().into();
    assert_eq!(run.code, Some(0), "{run:?}");
    let lost = run.errors.matches("connecting anew").count();
    assert_eq!(run.errors.matches("connected anew, going on").count(), lost, "{run:?}");
    // The last kill may come when all is done.
    assert!((12..=kills).contains(&lost), "{lost} losses of {kills} were told: {run:?}");
}

fn from_a_killed_server(bird: Bird) {
    let Some(mut server) = Phoenix::new(LENGTH as u64, bird) else { return };
    let source = pattern(LENGTH, 1);
    std::fs::write(server.path(), &source).unwrap();
    server.start();
    let mut copy = copy(&server.uri(), "-").stdout(Stdio::piped()).spawn().unwrap();
    let mut output = copy.stdout.take().unwrap();
    let mut came = vec![0; LENGTH];
    let mut kills = 0;
    for part in came.chunks_mut(BETWEEN_KILLS) {
        output.read_exact(part).unwrap();
        server.rise();
        kills += 1;
    }
    assert_eq!(output.read(&mut [0]).unwrap(), 0);
    assert_copied(copy, kills);
    assert!(came == source, "the copy is not what was to be copied");
}

fn to_a_killed_server(bird: Bird) {
    let Some(mut server) = Phoenix::new(LENGTH as u64, bird) else { return };
    server.start();
    let source = pattern(LENGTH, 2);
    let mut copy = copy("-", &server.uri()).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = copy.stdin.take().unwrap();
    let mut kills = 0;
    for part in source.chunks(BETWEEN_KILLS) {
        input.write_all(part).unwrap();
        server.rise();
        kills += 1;
    }
    drop(input);
    assert_copied(copy, kills);
    // It was flushed, so it is there however the server ends.
    server.kill();
    assert!(std::fs::read(server.path()).unwrap() == source, "the copy is not what was to be copied");
}

#[test]
fn a_copy_from_nbdkit_survives_its_kills() {
    must_end(|| from_a_killed_server(Bird::Nbdkit));
}

#[test]
fn a_copy_from_our_server_survives_its_kills() {
    must_end(|| from_a_killed_server(ours()));
}

#[test]
fn a_copy_to_nbdkit_that_forgets_what_was_not_flushed_survives_its_kills() {
    must_end(|| to_a_killed_server(Bird::Forgetful));
}

#[test]
fn a_copy_to_our_server_survives_its_kills() {
    must_end(|| to_a_killed_server(ours()));
}
