//! Files and pipes, with their holes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nbd_testkit::{Disk, Nbdkit, pattern, sparse_file};

use crate::common::{
    allocated, assert_file, assert_same, copy, full_of_garbage, memory, nbd, nbd_fed, read_back, write,
};

const LENGTH: u64 = 20_000_003;

/// 20 MB with three pieces of data.
fn pieces() -> Vec<(u64, Vec<u8>)> {
    vec![(0, pattern(100_000, 1)), (9_999_999, pattern(100_000, 2)), (LENGTH - 1, vec![7])]
}

fn sparse(path: &Path) -> Vec<u8> {
    sparse_file(path, LENGTH, &pieces());
    std::fs::read(path).unwrap()
}

fn disk() -> Disk {
    pieces().into_iter().fold(Disk::empty(LENGTH), |disk, (offset, bytes)| disk.data(offset, bytes))
}

#[track_caller]
fn assert_sparse(path: &Path) {
    let size = allocated(path);
    assert!(size < 1 << 20, "{size} bytes are allocated");
}

#[test]
fn holes_of_a_server_become_holes_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let Some(source) = Nbdkit::disk(disk()).start() else { return };
    copy(source.uri(), &to);
    assert_file(&to, &disk().contents());
    assert_sparse(&to);
}

#[test]
fn zeroes_of_a_server_without_a_map_become_holes_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let Some(source) = Nbdkit::disk(disk()).filter("noextents").start() else { return };
    copy(source.uri(), &to);
    assert_file(&to, &disk().contents());
    assert_sparse(&to);
    nbd([OsStr::new("copy"), "--no-extents".as_ref(), source.uri().as_ref(), to.as_ref()]).ok();
    assert_file(&to, &disk().contents());
    assert_sparse(&to);
}

#[test]
fn a_file_that_is_there_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    write(&to, &vec![0xa5; 30_000_000]);
    let Some(source) = Nbdkit::disk(disk()).start() else { return };
    copy(source.uri(), &to);
    assert_file(&to, &disk().contents());
    assert_sparse(&to);
}

#[test]
fn holes_of_a_file_become_zeroes_of_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    let mut expected = sparse(&from);
    let Some(destination) = full_of_garbage(LENGTH + 4096) else { return };
    copy(&from, destination.uri());
    expected.resize(expected.len() + 4096, 0xa5);
    assert_same(&read_back(&destination.uri()), &expected);
}

#[test]
fn holes_of_a_file_become_holes_behind_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let expected = sparse(&from);
    write(&to, &vec![0xa5; expected.len()]);
    let Some(destination) = Nbdkit::file(&to).start() else { return };
    copy(&from, destination.uri());
    assert_file(&to, &expected);
    assert_sparse(&to);
}

#[test]
fn from_file_to_file() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let expected = sparse(&from);
    copy(&from, &to);
    assert_file(&to, &expected);
    assert_sparse(&to);
    copy(&from, "null:");
}

#[test]
fn pipes_take_and_give_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let expected = sparse(&from);
    assert_same(&nbd([OsStr::new("copy"), from.as_ref(), "-".as_ref()]).ok().bytes, &expected);
    assert_same(&nbd_fed(["copy", "-", "-"], &expected).ok().bytes, &expected);
    nbd_fed([OsStr::new("copy"), "-".as_ref(), to.as_ref()], &expected).ok();
    assert_file(&to, &expected);
    assert_sparse(&to);
    // Zeroes to the very end still count.
    nbd_fed([OsStr::new("copy"), "-".as_ref(), to.as_ref()], &vec![0; 1_000_001]).ok();
    assert_file(&to, &vec![0; 1_000_001]);
    nbd_fed([OsStr::new("copy"), "-".as_ref(), to.as_ref()], b"").ok();
    assert_file(&to, b"");
}

#[test]
fn a_pipe_to_a_server() {
    let Some(destination) = memory(Nbdkit::memory("3000000")) else { return };
    let bytes = [pattern(1_000_000, 1), vec![0; 1_000_000], pattern(999_999, 2)].concat();
    nbd_fed(["copy", "-", &destination.uri()], &bytes).ok();
    assert_same(&read_back(&destination.uri()), &[&bytes[..], &[0]].concat());
    // What is behind the end of the pipe stays.
    nbd_fed(["copy", "-", &destination.uri()], &[5; 10]).ok();
    assert_same(&read_back(&destination.uri()), &[&[5; 10], &bytes[10..], &[0]].concat());
}

#[test]
fn named_pipes_and_devices_are_streams() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, to) = (dir.path().join("pipe"), dir.path().join("to"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let bytes = pattern(1_000_000, 3);
    std::thread::scope(|scope| {
        scope.spawn(|| write(&pipe, &bytes));
        copy(&pipe, &to);
    });
    assert_file(&to, &bytes);
    copy(&to, "/dev/null");
    copy("/dev/null", &to);
    assert_file(&to, b"");
}

#[test]
fn data_written_in_pieces_smaller_than_a_block_is_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let file = File::create(&from).unwrap();
    file.set_len(3_000_000).unwrap();
    for at in (0..3_000_000).step_by(70_001) {
        file.write_all_at(&[1], at).unwrap();
    }
    let expected = std::fs::read(&from).unwrap();
    copy(&from, &to);
    assert_file(&to, &expected);
    for sparse in ["0", "512", "4k", "64k", "1M"] {
        nbd([OsStr::new("copy"), "-S".as_ref(), sparse.as_ref(), from.as_ref(), to.as_ref()]).ok();
        assert_file(&to, &expected);
    }
}
