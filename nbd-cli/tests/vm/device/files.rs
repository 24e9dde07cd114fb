//! What a block device is for.

use std::fs;
use std::path::Path;
use std::process::Command;

use nbd_kernel::Interface;
use nbd_testkit::pattern;

use crate::support::{Site, run};

pub(crate) fn a_file_system_keeps_its_files(interface: Interface) {
    let site = Site::memory(32 << 20);
    let device = site.attach(interface, 1);
    let path = device.path();
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&path));
    fs::create_dir_all("/tmp/mounted").unwrap();
    run(Command::new("mount").args(["-t", "ext4"]).arg(&path).arg("/tmp/mounted"));
    for number in 0..20 {
        fs::write(file(number), pattern(100_000, number)).unwrap();
    }
    run(Command::new("umount").arg("/tmp/mounted"));
    device.detach().unwrap();

    let device = site.attach(interface, 1);
    run(Command::new("e2fsck").args(["-f", "-n"]).arg(device.path()));
    run(Command::new("mount").args(["-t", "ext4", "-o", "ro"]).arg(device.path()).arg("/tmp/mounted"));
    for number in 0..20 {
        assert!(fs::read(file(number)).unwrap() == pattern(100_000, number), "file {number}");
    }
    run(Command::new("umount").arg("/tmp/mounted"));
}

fn file(number: u64) -> String {
    Path::new("/tmp/mounted").join(number.to_string()).display().to_string()
}
