//! Which device it is.

use std::os::unix::fs::symlink;

use nbd_kernel::{DeviceId, Interface};

use super::run::{attach, nbd, stayer, try_attach, until_gone};
use crate::support::Site;

pub(crate) fn a_device_can_be_chosen_by_any_of_its_names(interface: Interface) {
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    symlink("/dev/nbd7", "/tmp/data").unwrap();
    for name in ["/dev/nbd7", "nbd7", "7", "/tmp/data"] {
        assert_eq!(attach(interface, &[&uri, name]), DeviceId(7), "{name}");
        assert!(nbd(&["status", name]).ok().starts_with("device: /dev/nbd7\n"));
        nbd(&["detach", name]).ok();
        until_gone(DeviceId(7));
    }
}

pub(crate) fn without_a_device_the_first_free_one_is_taken(interface: Interface) {
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    assert_eq!([(); 3].map(|()| attach(interface, &[&uri]).0), [0, 1, 2]);
    nbd(&["detach", "nbd1"]).ok();
    assert_eq!([(); 2].map(|()| attach(interface, &[&uri]).0), [1, 3]);
}

pub(crate) fn an_attached_device_is_refused_with_who_has_it(interface: Interface) {
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    attach(interface, &[&uri, "nbd3"]);
    let by = match interface {
        Interface::Ioctl => format!("nbd (process {})", stayer().as_raw_pid()),
        // Nobody is there any more, only a number.
        Interface::Netlink => "process ".to_owned(),
    };
    let refused = try_attach(interface, &[&uri, "nbd3"]).failure();
    assert!(refused.starts_with(&format!("nbd: /dev/nbd3 is attached already by {by}")), "{refused}");
    // It is as it was.
    nbd(&["status", "nbd3"]).ok();
    nbd(&["detach", "nbd3"]).ok();
}
