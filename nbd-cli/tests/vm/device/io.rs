//! Bytes through the kernel and back.

use std::os::unix::fs::FileExt as _;
use std::process::Command;

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::nbd_proto::uri::NbdUri;
use nbd_kernel::{Attach, Connection, Interface};
use nbd_testkit::{Nbdkit, pattern};
use rustix::fs::{FallocateFlags, fallocate};

use crate::support::run;
use crate::support::{Aligned, Site, open, open_direct, read_direct};

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

pub(crate) fn trimmed_and_zeroed_ranges_read_as_zeroes(interface: Interface) {
    let site = Site::memory(SIZE as u64);
    let device = site.attach(interface, 1);
    let path = device.path();
    let direct = open_direct(&path);
    direct.write_all_at(Aligned::of(&pattern(SIZE, 3)).bytes(), 0).unwrap();
    run(Command::new("blkdiscard").args(["-o", "1048576", "-l", "2097152"]).arg(&path));
    fallocate(&direct, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, 4 << 20, 1 << 20).unwrap();
    let mut expected = pattern(SIZE, 3);
    expected[1 << 20..3 << 20].fill(0);
    expected[4 << 20..5 << 20].fill(0);
    assert!(read_direct(&direct, SIZE, 0).unwrap() == expected);
}

pub(crate) fn errors_of_the_server_are_errors_of_the_request(interface: Interface) {
    let server =
        Nbdkit::memory("1M").filter("error").arg("error=ENOSPC").arg("error-pwrite-rate=100%").start().unwrap();
    let connection = Connection::open(&NbdUri::parse(&server.uri()).unwrap(), &ConnectOptions::new()).unwrap();
    let device = Attach::new().interface(interface).attach([connection]).unwrap();
    let direct = open_direct(&device.path());
    let failed = direct.write_at(Aligned::new(4096).bytes(), 0).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(5), "the kernel makes EIO of every error");
    assert_eq!(read_direct(&direct, 4096, 0).unwrap(), [0; 4096], "and the connection goes on");
}
