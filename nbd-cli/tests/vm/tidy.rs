//! Brings the kernel back to the state it was in before a test.

use std::fs;
use std::time::Duration;

use nbd_kernel::{Detach, Status};

/// Leaves no device attached, or panics.
pub(crate) fn between_tests() {
    for status in Status::all().unwrap() {
        let detach = Detach::new().force(true).patience(Duration::from_secs(20));
        let detached = detach.detach(status.device).unwrap();
        assert_eq!(detached.still_held, Vec::<String>::new(), "{}", status.device);
    }
    if fs::exists("/run/nbd").unwrap() {
        fs::remove_dir_all("/run/nbd").unwrap();
    }
}
