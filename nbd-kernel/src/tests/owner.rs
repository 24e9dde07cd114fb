//! A device and its owner.

use rustix::io::Errno;

use super::support::{attached, attached_as, by_ioctl, count, errno_of, step_of};
use crate::error::Step;
use crate::recorded::{FIRST, Kernel, Offer};

#[test]
fn to_drop_a_device_is_to_detach_it() {
    for attach in [by_ioctl(), super::support::by_netlink()] {
        let kernel = Kernel::new();
        let (device, _servers) = attached_as(&kernel, &attach, Offer::default(), 1);
        assert!(kernel.is_attached(FIRST));
        drop(device);
        assert!(!kernel.is_attached(FIRST));
        assert_eq!(count(&kernel, "DISCONNECT") + count(&kernel, "NL_DISCONNECT"), 1);
    }
}

#[test]
fn to_leave_a_device_is_to_ask_nothing_of_it() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    kernel.take_calls();
    device.leave().unwrap();
    assert_eq!(kernel.calls(), [] as [&str; 0]);
    assert!(kernel.is_attached(FIRST));
}

#[test]
fn a_device_by_ioctl_cannot_be_left_and_comes_back() {
    let kernel = Kernel::new();
    let (device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    kernel.take_calls();
    let device = device.leave().unwrap_err();
    assert_eq!(kernel.calls(), [] as [&str; 0]);
    device.detach().unwrap();
    assert!(!kernel.is_attached(FIRST));
}

#[test]
fn a_device_that_others_hold_open_is_detached_and_they_are_named() {
    for attach in [by_ioctl(), super::support::by_netlink()] {
        let kernel = Kernel::new();
        let (device, _servers) = attached_as(&kernel, &attach, Offer::default(), 1);
        kernel.hold_open(FIRST, true);
        kernel.set_holders(&["held open by cat (process 7)"]);
        assert_eq!(device.detach().unwrap().still_held, ["held open by cat (process 7)"]);
    }
}

#[test]
fn an_errno_of_the_detach_is_told() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    kernel.fail("NL_DISCONNECT", Errno::PERM);
    let error = device.detach().unwrap_err();
    assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::NetlinkDisconnect), Some(Errno::PERM)));
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
}

#[test]
fn a_device_by_ioctl_that_cannot_be_told_politely_is_cleared() {
    for (call, others) in [("DISCONNECT", 1), ("CLEAR_QUE", 0)] {
        let kernel = Kernel::new();
        let (device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
        kernel.fail_times(call, Errno::IO, 0, 1);
        device.detach().unwrap();
        assert_eq!(count(&kernel, "DISCONNECT"), others);
        assert!(!kernel.is_attached(FIRST));
    }
}

#[test]
fn a_resize_by_ioctl_is_of_the_node_that_runs() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    kernel.take_calls();
    device.resize((2 << 20) + 5).unwrap();
    assert_eq!(kernel.calls(), ["SET_SIZE 2097152"]);
    assert_eq!((device.geometry().size, device.geometry().unreachable), (2 << 20, 5));
    kernel.fail("SET_SIZE", Errno::INVAL);
    assert_eq!(step_of(&device.resize(512).unwrap_err()), Some(Step::SetSize));
    assert_eq!(device.geometry().size, 2 << 20);
    device.detach().unwrap();
}
