//! What is told of a device that is attached.

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::support::{attached_as, by_ioctl, by_netlink, device, errno_of, step_of};
use crate::attach::Interface;
use crate::error::Step;
use crate::recorded::{BEGAN, FIRST, Kernel, Offer};
use crate::status::{Queue, Status, Usage};

#[test]
fn an_idle_device_has_no_status_whatever_is_left_of_the_one_before() {
    let kernel = Kernel::new();
    kernel.set(FIRST, "size", "2048");
    assert_eq!(Status::read(&kernel, device(0)).unwrap(), None);
    assert_eq!(Status::read(&kernel, device(9)).unwrap(), None);
}

#[test]
fn everything_is_read_from_the_devices_attributes() {
    let kernel = Kernel::new();
    for (name, value) in [
        ("ro", "1"),
        ("queue/logical_block_size", "512"),
        ("queue/physical_block_size", "4096"),
        ("queue/max_sectors_kb", "64"),
        ("queue/discard_max_bytes", "4294966784"),
        ("queue/write_zeroes_max_bytes", "7"),
        ("queue/write_cache", "write back"),
        ("queue/fua", "1"),
        ("queue/rotational", "1"),
    ] {
        kernel.set(FIRST, name, value);
    }
    let offer = Offer::default().flags(TransmissionFlags::SEND_WRITE_ZEROES).shared();
    let pid = std::process::id();
    kernel.set_process(pid, pid, "nbd");
    let (_device, _servers) = attached_as(&kernel, &by_netlink().identifier("mine").origin("nbd://a"), offer, 2);
    let status = Status::read(&kernel, device(0)).unwrap().unwrap();
    let queue = Queue {
        logical_block_size: 512,
        physical_block_size: 4096,
        max_request: 65_536,
        discard_max: 4_294_966_784,
        write_zeroes_max: 7,
        write_back: true,
        fua: true,
        rotational: true,
    };
    let expected = Status {
        device: device(0),
        interface: Interface::Netlink,
        pid,
        process: Some("nbd".to_owned()),
        backend: Some("mine".to_owned()),
        origin: Some("nbd://a".to_owned()),
        since: status.since,
        size: 1 << 20,
        read_only: true,
        connections: 2,
        queue,
    };
    assert_eq!(status, expected);
    assert!(status.since.is_some());
}

#[test]
fn the_interface_is_told_by_the_attribute_that_only_netlink_makes() {
    for (attach, interface) in [(by_netlink(), Interface::Netlink), (by_ioctl(), Interface::Ioctl)] {
        let kernel = Kernel::new();
        let (device, _servers) = attached_as(&kernel, &attach, Offer::default(), 1);
        let status = Status::read(&kernel, device.id()).unwrap().unwrap();
        assert_eq!((status.interface, status.backend), (interface, None));
    }
}

#[test]
fn what_is_missing_or_odd_is_shown_as_nothing() {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, Interface::Ioctl, 77);
    kernel.set(FIRST, "queue/max_sectors_kb", "many");
    kernel.set(FIRST, "size", "18446744073709551615");
    kernel.set(FIRST, "queue/write_cache", "write through");
    let status = Status::read(&kernel, device(0)).unwrap().unwrap();
    assert_eq!((status.pid, status.size, status.read_only), (77, u64::MAX, false));
    assert_eq!(status.queue, Queue::default());
}

#[test]
fn an_attribute_that_cannot_be_read_is_an_error_with_its_name() {
    for name in ["pid", "backend", "size", "ro", "queue/fua"] {
        let kernel = Kernel::new();
        kernel.attach_foreign(FIRST, Interface::Ioctl, 77);
        kernel.fail(name, Errno::ACCESS);
        let error = Status::read(&kernel, device(0)).unwrap_err();
        assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::Sysfs(name)), Some(Errno::ACCESS)));
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// By netlink the kernel remembers only a number, which may have been given to somebody else since.
#[test]
fn a_process_that_began_later_is_not_the_one_that_attached_the_device() {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    kernel.set_process(77, 77, "somebody");
    let process = || Status::read(&kernel, device(0)).unwrap().unwrap().process;
    assert_eq!(process(), None);
    kernel.note(0, 77);
    assert_eq!(process().as_deref(), Some("somebody"), "it began when the note says");
    kernel.set_process_since(77, BEGAN + 1);
    assert_eq!(process(), None);
}

#[test]
fn a_device_is_in_use_if_it_is_attached_or_merely_open() {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    kernel.hold_open(FIRST + 2, true);
    let usage = Usage::read(&kernel).unwrap();
    let usage: Vec<_> = usage.into_iter().map(|usage| (usage.device, usage.in_use)).collect();
    assert_eq!(usage, [(device(0), true), (device(1), false), (device(2), true)]);
    assert_eq!(kernel.calls(), ["GETFAMILY", "STATUS"]);
}

#[test]
fn a_list_that_is_refused_is_an_error_with_its_step() {
    for (call, step) in [("GETFAMILY", Step::OpenNetlink), ("STATUS", Step::NetlinkStatus)] {
        let kernel = Kernel::new();
        kernel.fail(call, Errno::NOMEM);
        let error = Usage::read(&kernel).unwrap_err();
        assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(Errno::NOMEM)));
    }
    let error = Usage::read(&Kernel::without_module()).unwrap_err();
    assert!(error.to_string().ends_with("modprobe nbd"), "{error}");
}

#[test]
fn the_origin_is_told_as_long_as_the_same_process_has_the_device() {
    let kernel = Kernel::new();
    let (owned, _servers) = attached_as(&kernel, &by_netlink().origin("nbd://a\nb"), Offer::default(), 1);
    let status = Status::read(&kernel, device(0)).unwrap().unwrap();
    assert_eq!(status.origin.as_deref(), Some("nbd://a\\nb"));
    assert!(status.since.is_some());
    owned.leave().unwrap();
    assert!(Status::read(&kernel, device(0)).unwrap().unwrap().origin.is_some());
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    assert_eq!(Status::read(&kernel, device(0)).unwrap().unwrap().origin, None);
}
