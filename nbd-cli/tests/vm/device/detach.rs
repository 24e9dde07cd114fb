//! The end of a device, by its owner and by others.

use std::fs::File;

use nbd_kernel::{Attach, Detach, DeviceId, Ended, Error, Interface, Status};

use crate::support::{Site, is_attached, open_direct, read_direct};

pub(crate) fn a_device_is_free_after_its_end(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = site.attach(interface, 1);
    let id = device.id();
    assert!(is_attached(id));
    let detached = device.detach().unwrap();
    assert_eq!(detached.still_held, Vec::<String>::new());
    assert!(!is_attached(id));
    assert_eq!(Status::of(id).unwrap(), None);
}

pub(crate) fn dropping_a_device_ends_it(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = site.attach(interface, 1);
    let id = device.id();
    drop(device);
    assert!(!is_attached(id));
}

pub(crate) fn a_device_in_use_is_not_detached_by_others(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = site.attach(interface, 1);
    let mut holder =
        std::process::Command::new("sleep").arg("1000").stdin(File::open(device.path()).unwrap()).spawn().unwrap();
    let refused = Detach::new().detach(device.id()).unwrap_err();
    let Error::InUse { holders, .. } = &refused else { panic!("{refused:?}") };
    assert!(holders.contains(&format!("(process {})", holder.id())), "{holders}");
    assert!(is_attached(device.id()));
    assert_eq!(read_direct(&open_direct(&device.path()), 512, 0).unwrap(), [0; 512]);
    holder.kill().unwrap();
    holder.wait().unwrap();
}

pub(crate) fn force_ends_a_device_in_use(interface: Interface) {
    let site = Site::memory(1 << 20);
    // Only with a note, which the origin makes, others can tell the owner of an ioctl device that they ended it.
    let mut device = Attach::new().interface(interface).origin("here").attach([site.connect()]).unwrap();
    let id = device.id();
    let mut holder =
        std::process::Command::new("sleep").arg("1000").stdin(File::open(device.path()).unwrap()).spawn().unwrap();
    let detached = Detach::new().force(true).detach(id);
    match interface {
        // The kernel keeps the name for the holder.
        Interface::Netlink => {
            let still_held = detached.unwrap().still_held;
            assert!(still_held.iter().any(|who| who.contains(&format!("(process {})", holder.id()))), "{still_held:?}");
        }
        Interface::Ioctl => drop(detached),
    }
    assert_eq!(device.wait(None).unwrap(), Some(Ended::Detached));
    holder.kill().unwrap();
    holder.wait().unwrap();
}

pub(crate) fn an_idle_device_is_not_attached(_: Interface) {
    let refused = Detach::new().detach(DeviceId(9)).unwrap_err();
    assert_eq!(refused.to_string(), "/dev/nbd9 is not attached");
}
