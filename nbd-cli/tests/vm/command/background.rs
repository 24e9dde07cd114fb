//! Who stays when the command has returned.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nbd_kernel::{DeviceId, Interface};
use rustix::process::{Pid, Signal, getsid, kill_process};

use super::run::{attach, nbd, stayer, staying, until_gone};
use crate::server::Served;
use crate::support::{Site, open_direct, read_direct, run, until};

const SIZE: u64 = 1 << 20;

/// By ioctl always, by netlink to persist. That its output is closed shows already in that it was read to the end.
pub(crate) fn who_stays_holds_nothing_of_who_started_it(interface: Interface) {
    let site = Site::memory(SIZE);
    let uri = site.uri.to_string();
    if interface == Interface::Netlink {
        let device = attach(interface, &[&uri]);
        assert_eq!(staying(), []);
        nbd(&["detach", &device.to_string()]).ok();
    }
    stay(interface, &uri, "/tmp/log");
    let stayer = stayer();
    assert_eq!(getsid(Some(stayer)).unwrap(), stayer, "a session of its own");
    assert_ne!(getsid(None).unwrap(), stayer);
    for descriptor in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(stayer, descriptor), Path::new("/dev/null"), "{descriptor}");
    }
    assert_eq!(link(stayer, "cwd"), Path::new("/"));
}

fn link(process: Pid, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{}/{name}", process.as_raw_pid())).unwrap()
}

pub(crate) fn who_stays_ends_with_the_device(interface: Interface) {
    let site = Site::memory(SIZE);
    let device = attach(interface, &[&site.uri.to_string()]);
    assert_eq!(staying().len(), usize::from(interface == Interface::Ioctl));
    nbd(&["detach", &device.to_string()]).ok();
    until_gone(device);
    assert_eq!(nbd(&["status", &device.to_string()]).code, Some(3));
}

pub(crate) fn a_signal_to_who_stays_ends_the_device(interface: Interface) {
    let site = Site::memory(SIZE);
    let uri = site.uri.to_string();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let device = stay(interface, &uri, "/tmp/log");
        kill_process(stayer(), signal).unwrap();
        until_gone(device);
    }
    let log = fs::read_to_string("/tmp/log").unwrap();
    assert_eq!(log.matches("a signal ends it").count(), 3, "{log}");
}

/// One signal alone does not take the disk away from a file system.
pub(crate) fn a_mounted_device_stays_until_the_second_signal(interface: Interface) {
    let site = Site::memory(16 << 20);
    let device = stay(interface, &site.uri.to_string(), "/tmp/log");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(device.path()));
    fs::create_dir("/tmp/mounted").unwrap();
    run(Command::new("mount").args(["-t", "ext4"]).arg(device.path()).arg("/tmp/mounted"));
    let stayer = stayer();
    kill_process(stayer, Signal::TERM).unwrap();
    let warning = format!("{device} is mounted on /tmp/mounted: it stays until the next signal");
    until(|| fs::read_to_string("/tmp/log").unwrap().contains(&warning));
    fs::write("/tmp/mounted/file", "here").unwrap();
    File::open("/tmp/mounted/file").unwrap().sync_all().unwrap();
    kill_process(stayer, Signal::TERM).unwrap();
    until(|| staying().is_empty());
    fs::write("/tmp/mounted/other", "there").and_then(|()| File::open("/tmp/mounted/other")?.sync_all()).unwrap_err();
}

/// With somebody who stays.
fn stay(interface: Interface, uri: &str, log: &str) -> DeviceId {
    match interface {
        Interface::Ioctl => attach(interface, &["--log", log, uri]),
        Interface::Netlink => attach(interface, &["--persist", "--log", log, uri]),
    }
}

pub(crate) fn a_dead_server_ends_an_ioctl_device_and_is_in_the_log() {
    let served = Served::new(SIZE);
    let device = stay(Interface::Ioctl, &served.uri.to_string(), "/tmp/log");
    assert_eq!(read_direct(&open_direct(&device.path()), 512, 0).unwrap(), [0; 512]);
    served.kill();
    until_gone(device);
    let log = fs::read_to_string("/tmp/log").unwrap();
    assert!(log.contains("attached to nbd+unix:"), "{log}");
    assert!(log.contains(&format!("{device}: the server has gone, and the device is detached")), "{log}");
}
