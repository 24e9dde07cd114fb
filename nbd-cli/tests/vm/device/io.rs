//! Bytes through the kernel and back.

use std::os::unix::fs::FileExt as _;

use nbd_kernel::Interface;
use nbd_testkit::pattern;

use super::support::{Aligned, Site, open, open_direct, read_direct};

const SIZE: usize = 8 << 20;

pub(crate) fn what_is_written_is_read_back(interface: Interface) {
    let site = Site::memory(SIZE as u64);
    let device = site.attach(interface, 1);
    let contents = pattern(SIZE, 1);
    let file = open(&device.path());
    file.write_all_at(&contents, 0).unwrap();
    file.sync_all().unwrap();
    let direct = open_direct(&device.path());
    assert!(read_direct(&direct, SIZE, 0).unwrap() == contents, "written through the cache, read past it");
    let other = pattern(1 << 20, 2);
    direct.write_all_at(Aligned::of(&other).bytes(), 4 << 20).unwrap();
    let mut back = vec![0; 1 << 20];
    open(&device.path()).read_exact_at(&mut back, 4 << 20).unwrap();
    assert!(back == other, "written past the cache, read through it");
}
