//! What cannot work is told before anything is written.

use std::ffi::OsStr;

use nbd_testkit::{Disk, Nbdkit, pattern};

use crate::common::{assert_file, assert_same, full_of_garbage, nbd, nbd_fed, read_back, write};

#[test]
fn a_destination_that_is_too_small() {
    let Some(source) = Nbdkit::memory("2M").start() else { return };
    let Some(destination) = full_of_garbage(1 << 20) else { return };
    let failure = nbd(["copy", &source.uri(), &destination.uri()]).failure();
    assert!(failure.contains("1048576") && failure.contains("2097152"), "{failure}");
    assert_same(&read_back(&destination.uri()), &vec![0xa5; 1 << 20]);
}

#[test]
fn a_destination_that_is_read_only() {
    let Some(destination) = Nbdkit::memory("2M").readonly().start() else { return };
    let failure = nbd(["copy", "/dev/null", &destination.uri()]).failure();
    assert!(failure.contains("read-only"), "{failure}");
}

#[test]
fn a_pipe_that_is_longer_than_the_destination() {
    let Some(destination) = full_of_garbage(1 << 20) else { return };
    let failure = nbd_fed(["copy", "-", &destination.uri()], &pattern((1 << 20) + 1, 1)).failure();
    assert!(failure.contains("1048576 bytes"), "{failure}");
}

#[test]
fn source_and_destination_that_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    write(&file, &[1; 1000]);
    std::fs::hard_link(&file, &link).unwrap();
    for (from, to) in [(&file, &file), (&file, &link)] {
        let failure = nbd([OsStr::new("copy"), from.as_ref(), to.as_ref()]).failure();
        assert!(failure.contains("the same"), "{failure}");
        assert_file(&file, &[1; 1000]);
    }
}

#[test]
fn a_source_that_cannot_be_had_leaves_the_destination_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, none) = (dir.path().join("file"), dir.path().join("none"));
    write(&file, &[1; 1000]);
    let uri = format!("nbd+unix:///?socket={}", none.display());
    for source in [uri.as_ref(), none.as_os_str(), dir.path().as_ref(), "null:".as_ref()] {
        let failure = nbd([OsStr::new("copy"), source, file.as_ref()]).failure();
        assert!(failure.contains(source.to_str().unwrap()), "{failure}");
        assert_file(&file, &[1; 1000]);
    }
}

#[test]
fn a_destination_that_cannot_be_had() {
    let dir = tempfile::tempdir().unwrap();
    for to in [dir.path().to_owned(), dir.path().join("no/such/directory")] {
        let failure = nbd([OsStr::new("copy"), "/dev/null".as_ref(), to.as_ref()]).failure();
        assert!(failure.contains(to.to_str().unwrap()), "{failure}");
    }
    let Some(source) = Nbdkit::disk(Disk::patterned(4 << 20, 1)).start() else { return };
    let failure = nbd(["copy", &source.uri(), "/dev/full"]).failure();
    assert!(failure.contains("/dev/full") && failure.contains("No space left"), "{failure}");
}
