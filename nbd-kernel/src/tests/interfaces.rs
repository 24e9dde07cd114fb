//! Which interface is taken, and never both.

use std::time::Duration;

use rustix::io::Errno;

use super::support::{by_ioctl, by_netlink, device, errno_of, step_of};
use crate::attach::{Attach, Interface};
use crate::error::{Error, Step};
use crate::recorded::{FIRST, Kernel, Offer};

/// What comes by netlink.
const REQUESTS: [&str; 5] = ["CONNECT", "RECONFIGURE", "NL_DISCONNECT", "STATUS", "join"];

/// Calls of either interface: whether there are some by netlink, and some by ioctl. The search for the family is
/// none, and neither is the opening of a node.
fn ways(kernel: &Kernel) -> (bool, bool) {
    let calls = kernel.calls();
    let names: Vec<_> = calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
    let harmless = |name: &&&str| !["GETFAMILY", "open", "close", "write"].contains(*name);
    let by_ioctl = names.iter().filter(harmless).any(|name| !REQUESTS.contains(name));
    (names.iter().any(|name| REQUESTS.contains(name)), by_ioctl)
}

fn attach(kernel: &Kernel, how: &Attach) -> Result<crate::Device, Error> {
    let (connection, _server) = Offer::default().connect();
    how.attach_on(&kernel.system(), vec![connection])
}

#[test]
fn a_life_is_by_one_interface_alone() {
    for (kernel, how, interface) in [
        (Kernel::new(), Attach::new(), Interface::Netlink),
        (Kernel::new(), by_netlink(), Interface::Netlink),
        (Kernel::new(), by_ioctl(), Interface::Ioctl),
        (Kernel::without_netlink(), Attach::new(), Interface::Ioctl),
    ] {
        let (connection, _server) = Offer::default().blocks(512, 65_536).connect();
        let mut device = how.attach_on(&kernel.system(), vec![connection]).unwrap();
        assert_eq!(device.interface(), interface);
        device.resize(512).unwrap();
        device.detach().unwrap();
        assert_eq!(ways(&kernel), (interface == Interface::Netlink, interface == Interface::Ioctl));
    }
}

#[test]
fn ioctl_is_no_way_out_when_netlink_refuses() {
    for call in ["netlink", "GETFAMILY", "join", "CONNECT"] {
        for errno in [Errno::PERM, Errno::INVAL, Errno::BUSY, Errno::NOMEM, Errno::OPNOTSUPP] {
            let kernel = Kernel::new();
            kernel.fail(call, errno);
            let error = attach(&kernel, &Attach::new().device(device(0))).unwrap_err();
            assert_eq!(errno_of(&error), Some(errno));
            assert!(!ways(&kernel).1, "{call} {errno}");
        }
    }
}

#[test]
fn without_the_family_netlink_is_refused_with_what_to_do() {
    let kernel = Kernel::without_netlink();
    let error = attach(&kernel, &by_netlink()).unwrap_err();
    assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::OpenNetlink), Some(Errno::NOENT)));
    // The devices show that the module is there.
    assert!(error.to_string().ends_with("the first network namespace only"), "{error}");
    assert_eq!(kernel.calls(), ["GETFAMILY"]);
}

#[test]
fn without_the_module_every_way_says_how_to_load_it() {
    for how in [Attach::new(), by_ioctl(), by_netlink(), Attach::new().device(device(1)), by_ioctl().device(device(1))]
    {
        let error = attach(&Kernel::without_module(), &how).unwrap_err();
        assert!(error.to_string().ends_with("the kernel's module is not loaded: modprobe nbd"), "{error}");
    }
}

#[test]
fn a_device_beyond_the_last_is_refused_with_how_to_get_more() {
    let error = attach(&Kernel::new(), &by_ioctl().device(device(3))).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("the last device is /dev/nbd{}; ", FIRST + 2)) && text.contains("nbds_max=N"),
        "{text}"
    );
}

#[test]
fn what_only_netlink_can_do_is_refused_by_ioctl_before_any_call_on_a_device() {
    for how in [
        by_ioctl().dead_timeout(Some(Duration::from_secs(1))),
        by_ioctl().identifier("i"),
        by_ioctl().destroy_on_disconnect(true),
        by_ioctl().disconnect_on_close(true),
    ] {
        let kernel = Kernel::new();
        let error = attach(&kernel, &how).unwrap_err();
        assert!(matches!(error, Error::NeedsNetlink(_)), "{error}");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
    let kernel = Kernel::without_netlink();
    let error = attach(&kernel, &Attach::new().disconnect_on_close(true)).unwrap_err();
    assert!(matches!(error, Error::NeedsNetlink(_)), "{error}");
    assert_eq!(kernel.calls(), ["GETFAMILY"]);
}

#[test]
fn several_connections_need_one_export_that_can_be_shared() {
    let shared = Offer::default().shared();
    let others = [
        (Offer { size: 1, ..shared }, "the size was 1048576 and is 1"),
        (shared.blocks(512, 1 << 25), "the minimum block size was 1 and is 512"),
        (shared.blocks(1, 1 << 20), "the maximum payload was 33554432 and is 1048576"),
        (Offer::default(), "the set of transmission flags was 0x0101 and is 0x0001"),
    ];
    for (other, expected) in others {
        let kernel = Kernel::new();
        let ((first, _a), (second, _b)) = (shared.connect(), other.connect());
        let error = by_netlink().attach_on(&kernel.system(), vec![first, second]).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
    let ((first, _a), (second, _b)) = (Offer::default().connect(), Offer::default().connect());
    let error = Attach::new().attach_on(&Kernel::new().system(), vec![first, second]).unwrap_err();
    assert!(matches!(error, Error::NoMultiConn(2)), "{error}");
    let error = Attach::new().attach_on(&Kernel::new().system(), vec![]).unwrap_err();
    assert!(matches!(error, Error::NoConnection), "{error}");
}
