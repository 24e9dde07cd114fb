//! A file that is served without writing, and one that may not be written.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nbd_driver_std::backend::{Backend, Failure, Features, FileBackend, FileOptions};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::support::{MAY_HOLE, NO_HOLE, skip};

const READ_ONLY: FileOptions = FileOptions { read_only: true };

#[test]
fn it_offers_nothing_that_writes_and_refuses_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"contents").unwrap();
    let backend = FileBackend::open(file.path(), READ_ONLY).unwrap();
    assert_eq!(backend.features(), Features::CACHE | Features::MULTI_CONN);
    let refusal = Err(Failure::new(ErrorValue::EPERM, "this export is read-only"));
    assert_eq!(backend.write(b"x", 0, false), refusal);
    assert_eq!(backend.trim(0, 8, false), refusal);
    assert_eq!(backend.write_zeroes(0, 8, MAY_HOLE), refusal);
    assert_eq!(backend.write_zeroes(0, 8, NO_HOLE), refusal);
    backend.flush().unwrap();
    backend.cache(0, 8).unwrap();
    assert_eq!(std::fs::read(file.path()).unwrap(), b"contents");
}

/// Opens it as it may be, and not in another way without a word.
fn only_as_permitted(path: &Path) {
    FileBackend::open(path, READ_ONLY).unwrap();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => skip(&format!("the system lets this user write {}", path.display())),
        Err(theirs) => {
            let ours = FileBackend::open(path, FileOptions::default()).unwrap_err();
            assert_eq!(ours.raw_os_error(), theirs.raw_os_error(), "{ours}");
        }
    }
}

#[test]
fn no_permission_to_write_is_an_error_unless_nobody_will() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), Permissions::from_mode(0o444)).unwrap();
    only_as_permitted(file.path());
}

/// A program that runs: most systems let nobody write it, not even root.
#[test]
fn a_file_that_is_busy_is_an_error_unless_nobody_will_write() {
    only_as_permitted(&std::env::current_exe().unwrap());
}
