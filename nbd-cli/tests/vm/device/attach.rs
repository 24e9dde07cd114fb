//! What the kernel shows of a device, from its beginning to its end.

use std::path::Path;

use nbd_kernel::{Interface, Status};

use super::support::{Site, attribute};

pub(crate) fn a_device_has_the_exports_shape(interface: Interface) {
    let site = Site::memory(3 << 20);
    let device = site.attach(interface, 1);
    assert_eq!(attribute(&device, "size"), (3 << 11).to_string());
    assert_eq!(attribute(&device, "queue/logical_block_size"), "512");
    assert_eq!(attribute(&device, "ro"), "0");
    let status = Status::of(device.id()).unwrap().unwrap();
    assert_eq!((status.size, status.interface, status.pid), (3 << 20, interface, std::process::id()));
}

pub(crate) fn a_device_is_free_after_its_end(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = site.attach(interface, 1);
    let id = device.id();
    assert!(Path::new(&format!("/sys/block/{}/pid", id.name())).exists());
    let detached = device.detach().unwrap();
    assert_eq!(detached.still_held, Vec::<String>::new());
    assert_eq!(Status::of(id).unwrap(), None);
}
