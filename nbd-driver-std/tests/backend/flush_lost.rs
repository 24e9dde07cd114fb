//! What the system could not write any more, and says so but once.

use std::path::Path;
use std::process::Command;

use nbd_driver_std::backend::{Backend, ZeroMode};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::loop_device::open_loop;
use crate::support::{MIB, skip, sparse_file};

/// Files in memory of at most 1 MiB, under a directory. It is seen there until dropped, and stays until unused.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(directory: &'a Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(directory).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0).output().ok();
    }
}

/// A loop device over a file that has no room for what is written takes the write and fails the flush.
#[test]
fn a_flush_that_failed_fails_for_everyone_after() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(directory.path()) else { return skip("needs the right to mount") };
    let file = sparse_file(directory.path(), 16 * MIB);
    let Some(device) = open_loop(file.path()) else { return };
    drop((file, mounted));

    device.flush().unwrap();
    device.write(&vec![1; 8 * MIB as usize], 0, false).unwrap();
    let failure = device.flush().unwrap_err();
    assert_eq!(failure.error, ErrorValue::EIO, "{failure}");
    assert_eq!(device.flush(), Err(failure.clone()));
    assert_eq!(device.write(b"x", 0, true), Err(failure.clone()));
    assert_eq!(device.trim(0, MIB, true), Err(failure.clone()));
    assert_eq!(device.write_zeroes(0, MIB, ZeroMode { fua: true, no_hole: false, fast: false }), Err(failure));
    device.write(b"x", 0, false).unwrap();
}
