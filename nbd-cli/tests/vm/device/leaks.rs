//! What is left of devices that have ended.

use std::fs;

use nbd_kernel::{Interface, Status};

use crate::support::Site;

pub(crate) fn a_hundred_rounds_leave_nothing_behind(interface: Interface) {
    let site = Site::memory(1 << 20);
    let mut before = None;
    for round in 0..110 {
        let device = site.attach(interface, 1);
        assert_eq!(device.id().0, 0, "the first device is free again");
        device.detach().unwrap();
        // The first rounds bring in what stays.
        if round == 9 {
            before = Some(Usage::now());
        }
    }
    let (before, after) = (before.unwrap(), Usage::now());
    assert_eq!(Status::all().unwrap(), []);
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    // The server's side of the last connection may take a moment to end.
    assert!(after.threads <= before.threads + 3, "{before:?} {after:?}");
    assert!(after.resident < before.resident + (2 << 20), "{before:?} {after:?}");
    assert!(after.kernel < before.kernel + (8 << 20), "{before:?} {after:?}");
}

#[derive(Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    /// Memory of this process in bytes.
    resident: u64,
    /// Memory of the kernel in bytes, without what it can give back.
    kernel: u64,
}

impl Usage {
    fn now() -> Self {
        Self {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
            resident: kibibytes("/proc/self/status", "VmRSS:"),
            kernel: kibibytes("/proc/meminfo", "SUnreclaim:"),
        }
    }
}

fn kibibytes(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
