//! What can be opened, and what is said of the rest.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nbd_driver_std::backend::{Backend, FileBackend, FileOptions};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{MIB, open, sparse_file};

/// Must be refused as this, whether opened for writing or not.
fn refused(path: &Path, what: &str) {
    for read_only in [false, true] {
        let error = FileBackend::open(path, FileOptions { read_only }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let expected = format!("{what} is no disk: only regular files and block devices can be served");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_directory_is_refused() {
    refused(&std::env::temp_dir(), "a directory");
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_other_end() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    refused(&pipe, "a pipe");
}

#[test]
fn a_socket_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    refused(&path, "a socket");
}

#[test]
fn a_character_device_is_refused() {
    refused(Path::new("/dev/null"), "a character device");
}

#[test]
fn a_file_that_is_missing_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing");
    let error = FileBackend::open(&path, FileOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!path.exists());
}

#[test]
fn a_link_leads_to_its_file_which_keeps_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    std::fs::write(&file, b"contents").unwrap();
    symlink(&file, &link).unwrap();
    let backend = open(&link);
    assert_eq!(backend.size(), 8);
    let mut buffer = [0; 8];
    backend.read(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"contents");
}

#[test]
fn an_empty_file_is_a_disk_of_no_bytes() {
    let file = sparse_file(&std::env::temp_dir(), 0);
    assert_eq!(open(file.path()).size(), 0);
}

#[test]
fn the_size_is_what_it_was_when_opened() {
    let file = sparse_file(&std::env::temp_dir(), MIB + 1);
    let backend = open(file.path());
    file.as_file().set_len(2 * MIB).unwrap();
    assert_eq!(backend.size(), MIB + 1);
}
