//! What is not done, and why.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nbd_kernel::Interface;

use super::run::{Run, attach, attaching, command, nbd, staying, until_gone};
use crate::support::{Site, open_direct, read_direct, run};

const NOBODY: u32 = 65_534;

pub(crate) fn a_mounted_device_is_detached_only_by_force(interface: Interface) {
    let site = Site::memory(16 << 20);
    let uri = site.uri.to_string();
    let device = attach(interface, &[&uri]);
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(device.path()));
    fs::create_dir("/tmp/mounted").unwrap();
    run(Command::new("mount").args(["-t", "ext4"]).arg(device.path()).arg("/tmp/mounted"));
    fs::write("/tmp/mounted/file", "here").unwrap();

    let refused = nbd(&["detach", &device.to_string()]).failure();
    assert_eq!(refused, format!("nbd: {device} is in use: mounted on /tmp/mounted\n"));
    run(Command::new("sync").args(["-f", "/tmp/mounted/file"]));
    assert_eq!(fs::read_to_string("/tmp/mounted/file").unwrap(), "here");

    let forced = nbd(&["detach", "--force", &device.to_string()]);
    assert_eq!((forced.code, &forced.text[..]), (Some(0), ""), "{forced:?}");
    assert_eq!(forced.errors, format!("nbd: {device} has ended, but it is still mounted on /tmp/mounted\n"));
    assert!(
        fs::write("/tmp/mounted/other", "there").and_then(|()| File::open("/tmp/mounted/other")?.sync_all()).is_err()
    );
    run(Command::new("umount").arg("/tmp/mounted"));
    until_gone(device);

    // What was written before is there.
    assert_eq!(attach(interface, &[&uri]), device);
    run(Command::new("mount").args(["-t", "ext4"]).arg(device.path()).arg("/tmp/mounted"));
    assert_eq!(fs::read_to_string("/tmp/mounted/file").unwrap(), "here");
    run(Command::new("umount").arg("/tmp/mounted"));
    nbd(&["detach", &device.to_string()]).ok();
}

pub(crate) fn a_device_that_nobody_hears_of_is_detached_again(interface: Interface) {
    let site = Site::memory(1 << 20);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = attaching(interface, &[&site.uri.to_string(), "nbd0"]).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
    until_gone("nbd0".parse().unwrap());
}

fn as_nobody(mut command: Command) -> Run {
    command.uid(NOBODY).gid(NOBODY).output().unwrap().into()
}

/// Even if they may open the device.
pub(crate) fn nobody_else_may_attach_and_detach(interface: Interface) {
    const RIGHT: &str = "CAP_SYS_ADMIN";
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    fs::set_permissions("/tmp/site", Permissions::from_mode(0o777)).unwrap();
    let before = fs::metadata("/dev/nbd9").unwrap().permissions();
    for mode in [before.mode(), 0o666] {
        fs::set_permissions("/dev/nbd9", Permissions::from_mode(mode)).unwrap();
        let refused = as_nobody(attaching(interface, &[&uri, "nbd9"])).failure();
        assert!(refused.contains(RIGHT), "{mode:o}: {refused}");
        assert_eq!(staying(), []);

        attach(interface, &[&uri, "nbd9"]);
        let refused = as_nobody(command(&["detach", "nbd9"])).failure();
        assert!(refused.contains(RIGHT), "{mode:o}: {refused}");
        assert_eq!(as_nobody(command(&["status", "nbd9"])).code, Some(0));
        assert_eq!(read_direct(&open_direct("/dev/nbd9".as_ref()), 512, 0).unwrap(), [0; 512]);
        nbd(&["detach", "nbd9"]).ok();
        until_gone("nbd9".parse().unwrap());
    }
    fs::set_permissions("/dev/nbd9", before).unwrap();
}

pub(crate) fn an_idle_device_is_not_detached(_: Interface) {
    for args in [&["detach", "nbd9"][..], &["detach", "--force", "nbd9"]] {
        assert_eq!(nbd(args).failure(), "nbd: /dev/nbd9 is not attached\n");
    }
}

pub(crate) fn without_the_module_it_is_named() {
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    for options in [&[][..], &["--ioctl"], &["--netlink"], &["--persist"], &["--foreground"]] {
        for device in [&[][..], &["nbd0"]] {
            let run = nbd(&[&["attach"], options, &[&uri], device].concat());
            assert_eq!((run.code, &run.text[..]), (Some(1), ""), "{run:?}");
            // In front it tells on standard error what it does, too.
            let refused = run.errors.lines().last().unwrap();
            assert!(
                refused.starts_with("nbd: ") && refused.contains("modprobe nbd"),
                "{options:?} {device:?}: {refused}"
            );
        }
    }
    assert_eq!(staying(), []);
    assert_eq!(nbd(&["status"]).ok(), "");
    assert_eq!(nbd(&["status", "nbd0"]).code, Some(3));
}
