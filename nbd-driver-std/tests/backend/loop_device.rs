//! A block device that is a file in truth, for who may have one.

use std::path::{Path, PathBuf};
use std::process::Command;

use nbd_driver_std::backend::FileBackend;

use crate::support::{open, skip};

/// A loop device over a file, opened. It goes away by itself when the backend is dropped, however the test ends.
pub(crate) fn open_loop(file: &Path) -> Option<FileBackend> {
    let losetup = |args: &[&str]| Command::new("losetup").args(args).output();
    let attached = losetup(&["--find", "--show", file.to_str()?]).ok().filter(|output| output.status.success());
    let Some(attached) = attached else {
        skip("needs losetup, and the right to make loop devices");
        return None;
    };
    let device = PathBuf::from(String::from_utf8(attached.stdout).unwrap().trim());
    let backend = open(&device);
    let detached = losetup(&["--detach", device.to_str()?]).unwrap();
    assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    Some(backend)
}
