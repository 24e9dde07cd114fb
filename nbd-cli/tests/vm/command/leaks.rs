//! What is left of devices that have ended.

use nbd_kernel::{Interface, Status};

use super::run::{attach, nbd, notes, staying, until_gone};
use crate::support::Site;

pub(crate) fn thirty_rounds_leave_nothing_behind(interface: Interface) {
    let site = Site::memory(1 << 20);
    let uri = site.uri.to_string();
    for _ in 0..30 {
        let device = attach(interface, &[&uri]);
        assert_eq!(device.0, 0, "the first device is free again");
        assert_eq!(notes(), 1);
        nbd(&["detach", &device.to_string()]).ok();
        until_gone(device);
    }
    assert_eq!(staying(), []);
    assert_eq!(Status::all().unwrap(), []);
}
