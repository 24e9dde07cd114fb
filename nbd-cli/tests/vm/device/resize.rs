//! Exports that change their size.

use nbd_kernel::Interface;

use crate::support::{Site, attribute, open_direct, read_direct};

pub(crate) fn a_device_grows_and_shrinks(interface: Interface) {
    let site = Site::memory(4 << 20);
    let mut device = site.attach(interface, 1);
    // Held open all the time, as by a file system.
    let file = open_direct(&device.path());
    for size in [1 << 20, (2 << 20) + 100, 4 << 20] {
        device.resize(size).unwrap();
        assert_eq!(attribute(&device, "size"), (size / 512).to_string());
        assert_eq!(device.geometry().unreachable, size % 512);
    }
    assert_eq!(read_direct(&file, 4096, (4 << 20) - 4096).unwrap(), [0; 4096]);
}
