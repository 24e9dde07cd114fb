//! Devices whose server hangs.

use std::os::unix::fs::FileExt as _;
use std::thread;

use nbd_kernel::Interface;

use super::run::{attach, nbd, staying, until_gone};
use crate::server::Served;
use crate::support::{open, until_stuck};

const SIZE: usize = 8 << 20;

pub(crate) fn force_ends_an_ioctl_device_whose_server_hangs() {
    it_ends(Interface::Ioctl, &[], 1);
}

pub(crate) fn force_ends_a_persistent_device_whose_server_hangs() {
    it_ends(Interface::Netlink, &["--persist"], 1);
}

/// Nobody is there who could hang up. The time-out is longer than the patience with every other step.
pub(crate) fn force_ends_a_device_without_a_process_after_its_time_out() {
    it_ends(Interface::Netlink, &["--timeout=15"], 0);
}

/// The kernel sits in the middle of a write that the server does not take.
fn it_ends(interface: Interface, options: &[&str], processes: usize) {
    let served = Served::new(SIZE as u64);
    let device = attach(interface, &[options, &[&served.uri.to_string()]].concat());
    assert_eq!(staying().len(), processes);
    let file = open(&device.path());
    served.hang();
    let writer = thread::spawn(move || {
        file.write_all_at(&vec![7; SIZE], 0)?;
        file.sync_all()
    });
    until_stuck(device);
    let refused = nbd(&["detach", &device.to_string()]).failure();
    let holder = format!("is in use: held open by vm-tests (process {})\n", std::process::id());
    assert!(refused.ends_with(&holder), "{refused}");
    let forced = nbd(&["detach", "--force", &device.to_string()]);
    assert_eq!((forced.code, &forced.text[..]), (Some(0), ""), "{forced:?}");
    assert_eq!(writer.join().unwrap().unwrap_err().raw_os_error(), Some(5));
    until_gone(device);
    assert_eq!(nbd(&["status", &device.to_string()]).code, Some(3));
}
