//! What the system could not write any more, and says so but once.

use std::process::Command;

use nbd_driver_std::backend::{Backend, ZeroMode};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::loop_device::open_loop;
use crate::support::{MIB, skip, sparse_file};

/// A loop device over a file that has no room for what is written takes the write and fails the flush.
#[test]
fn a_flush_that_failed_fails_for_everyone_after() {
    let directory = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).arg(directory.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "size=1m", "none"]) {
        skip("needs the right to mount");
        return;
    }
    let file = sparse_file(directory.path(), 16 * MIB);
    let device = open_loop(file.path());
    file.close().unwrap();
    // It stays until the device is gone.
    assert!(run("umount", &["--lazy"]));
    let Some(device) = device else { return };

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
