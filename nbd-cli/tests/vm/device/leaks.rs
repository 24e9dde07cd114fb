//! What is left of devices that have ended.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nbd_kernel::{Interface, Status};

use crate::support::Site;

/// Whatever ends, ends within a fifth of it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn a_hundred_rounds_leave_nothing_behind(interface: Interface) {
    let site = Site::memory(1 << 20);
    let threads = Usage::now().threads;
    let mut before = None;
    for round in 0..110 {
        let device = site.attach(interface, 1);
        assert_eq!(device.id().0, 0, "the first device is free again");
        device.detach().unwrap();
        // The first rounds bring in what stays.
        if round == 9 {
            before = Some(Usage::settled(threads));
        }
    }
    let (before, after) = (before.unwrap(), Usage::settled(threads));
    assert_eq!(Status::all().unwrap(), []);
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    // The allocator has a pool for each of the threads that once ran at the same time.
    assert!(after.allocated < before.allocated + (4 << 20), "{before:?} {after:?}");
    assert!(after.kernel < before.kernel + (8 << 20), "{before:?} {after:?}");
}

#[derive(Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    /// Memory of this process in bytes, without what belongs to files.
    allocated: u64,
    /// Memory of the kernel in bytes, without what it can give back.
    kernel: u64,
}

impl Usage {
    /// The same when no more than so many threads are left: the server's side of the last connection ends by itself.
    fn settled(threads: usize) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Self::now();
            if now.threads <= threads {
                return now;
            }
            assert!(Instant::now() < deadline, "threads are left: {now:?}, and there were {threads}");
            thread::yield_now();
        }
    }

    fn now() -> Self {
        Self {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
            allocated: kibibytes("/proc/self/status", "RssAnon:"),
            kernel: kibibytes("/proc/meminfo", "SUnreclaim:"),
        }
    }
}

fn kibibytes(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
