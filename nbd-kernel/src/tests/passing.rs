//! Somebody is in the way: for a moment, or for good.

use std::thread;
use std::time::Duration;

use nbd_testkit::must_end;
use rustix::io::Errno;

use super::support::{by_ioctl, by_netlink, count, device, errno_of};
use crate::attach::{Attach, Interface};
use crate::error::Error;
use crate::recorded::{BEGAN, FIRST, Kernel, Offer};

/// The call that claims a device, each way.
const CLAIMS: [(Interface, &str); 2] = [(Interface::Netlink, "CONNECT"), (Interface::Ioctl, "SET_SOCK")];

fn attach(kernel: &Kernel, interface: Interface) -> Result<crate::Device, Error> {
    let (connection, _server) = Offer::default().connect();
    Attach::new().interface(interface).device(device(0)).attach_on(&kernel.system(), vec![connection])
}

#[test]
fn who_only_passes_by_is_waited_for() {
    for (interface, claim) in CLAIMS {
        let kernel = Kernel::new();
        kernel.fail_times(claim, Errno::BUSY, 0, 3);
        attach(&kernel, interface).unwrap().detach().unwrap();
        assert_eq!(count(&kernel, claim), 4);
        assert_eq!(kernel.pauses()[..3], [Duration::from_millis(50); 3]);
    }
}

#[test]
fn each_claim_by_ioctl_is_of_a_node_opened_anew() {
    let kernel = Kernel::new();
    kernel.fail_times("SET_SOCK", Errno::BUSY, 0, 1);
    attach(&kernel, Interface::Ioctl).unwrap().detach().unwrap();
    let names: Vec<_> = kernel.calls().iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names[..5], ["open", "SET_SOCK", "close", "open", "SET_SOCK"]);
}

#[test]
fn a_device_that_is_being_torn_down_is_waited_for() {
    let kernel = Kernel::new();
    kernel.fail_times("CONNECT", Errno::INVAL, 0, 2);
    attach(&kernel, Interface::Netlink).unwrap().detach().unwrap();
    assert_eq!(count(&kernel, "CONNECT"), 3);
    // Each attempt listens from before it asks.
    assert_eq!(count(&kernel, "join"), 3);
}

#[test]
fn who_stays_is_named_after_two_seconds() {
    for (interface, claim) in CLAIMS {
        let kernel = Kernel::new();
        kernel.fail(claim, Errno::BUSY);
        kernel.set_holders(&["mounted on /mnt", "held open by cat (process 7)"]);
        let error = attach(&kernel, interface).unwrap_err();
        assert_eq!(errno_of(&error), Some(Errno::BUSY));
        assert!(error.to_string().ends_with("; it is mounted on /mnt, held open by cat (process 7)"), "{error}");
        assert_eq!(kernel.pauses().iter().sum::<Duration>(), Duration::from_secs(2));
    }
}

#[test]
fn who_stays_and_cannot_be_seen_is_told_of_nevertheless() {
    let kernel = Kernel::new();
    kernel.fail("CONNECT", Errno::BUSY);
    let error = attach(&kernel, Interface::Netlink).unwrap_err();
    assert!(error.to_string().contains("another process is attaching it"), "{error}");
}

#[test]
fn other_errors_are_told_at_once() {
    for (interface, claim) in CLAIMS {
        for errno in [Errno::PERM, Errno::BADF, Errno::NOTSOCK, Errno::NOMEM] {
            let kernel = Kernel::new();
            kernel.fail(claim, errno);
            assert_eq!(errno_of(&attach(&kernel, interface).unwrap_err()), Some(errno));
            assert_eq!(count(&kernel, claim), 1);
            assert_eq!(kernel.pauses(), []);
        }
    }
}

#[test]
fn a_device_that_is_attached_is_refused_at_once_and_its_owner_named() {
    for (interface, claim) in CLAIMS {
        let kernel = Kernel::new();
        kernel.attach_foreign(FIRST, Interface::Ioctl, 77);
        let error = attach(&kernel, interface).unwrap_err();
        assert!(matches!(error, Error::AlreadyAttached { .. }), "{error}");
        assert!(error.to_string().ends_with("is attached already by process 77, which has ended since"), "{error}");
        kernel.set_process(77, 77, "nbd");
        let error = attach(&kernel, interface).unwrap_err();
        assert!(error.to_string().ends_with("is attached already by nbd (process 77)"), "{error}");
        assert_eq!((count(&kernel, claim), kernel.pauses().len()), (0, 0));
    }
}

/// By netlink the kernel remembers only a number.
#[test]
fn an_owner_of_whom_nothing_is_noted_is_not_said_to_have_ended() {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    kernel.set_process(77, 77, "nbd");
    let error = || attach(&kernel, Interface::Netlink).unwrap_err().to_string();
    assert!(error().ends_with("is attached already by process 77"), "{}", error());
    kernel.note(0, 77);
    assert!(error().ends_with("is attached already by nbd (process 77)"), "{}", error());
    kernel.set_process_since(77, BEGAN + 1);
    assert!(error().ends_with("is attached already by process 77, which has ended since"), "{}", error());
}

#[test]
fn by_ioctl_the_first_device_that_is_free_is_taken() {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, Interface::Ioctl, 77);
    kernel.fail_times("SET_SOCK", Errno::BUSY, 0, 1);
    let (connection, _server) = Offer::default().connect();
    let made = by_ioctl().attach_on(&kernel.system(), vec![connection]).unwrap();
    assert_eq!(made.id(), device(2));
    made.detach().unwrap();
    assert_eq!(count(&kernel, &format!("open {FIRST}")), 0);
    assert_eq!(count(&kernel, &format!("close {}", FIRST + 1)), 1);
}

#[test]
fn without_a_free_device_it_is_told_how_many_there_are() {
    let kernel = Kernel::new();
    kernel.fail("SET_SOCK", Errno::BUSY);
    let (connection, _server) = Offer::default().connect();
    let error = by_ioctl().attach_on(&kernel.system(), vec![connection]).unwrap_err();
    assert!(matches!(error, Error::NoFreeDevice(3)), "{error}");
    assert_eq!((count(&kernel, "SET_SOCK"), count(&kernel, "CLEAR_SOCK")), (3, 0));
}

#[test]
fn the_search_for_a_free_device_ends_at_the_first_other_error() {
    let kernel = Kernel::new();
    kernel.fail("SET_SOCK", Errno::PERM);
    let (connection, _server) = Offer::default().connect();
    let error = by_ioctl().attach_on(&kernel.system(), vec![connection]).unwrap_err();
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    assert_eq!(count(&kernel, "SET_SOCK"), 1);
}

#[test]
fn a_list_of_devices_that_cannot_be_read_is_an_error() {
    let kernel = Kernel::new();
    kernel.fail("list", Errno::ACCESS);
    let (connection, _server) = Offer::default().connect();
    let error = by_ioctl().attach_on(&kernel.system(), vec![connection]).unwrap_err();
    assert_eq!(errno_of(&error), Some(Errno::ACCESS));
    let (connection, _server) = Offer::default().connect();
    by_netlink().attach_on(&kernel.system(), vec![connection]).unwrap().detach().unwrap();
}

#[test]
fn a_device_that_another_attaches_by_netlink_first_is_passed_over_by_ioctl() {
    for wanted in [None, Some(device(0))] {
        let kernel = Kernel::new();
        kernel.hang("open");
        let (system, (ours, _server)) = (kernel.system(), Offer::default().connect());
        let attach = wanted.into_iter().fold(by_ioctl(), Attach::device);
        let attaching = thread::spawn(move || attach.attach_on(&system, vec![ours]));
        let opening = kernel.clone();
        must_end(move || opening.await_call("open", 1));
        kernel.attach_foreign(FIRST, Interface::Netlink, 77);
        kernel.release();
        match (wanted, must_end(move || attaching.join().unwrap())) {
            (None, Ok(attached)) => assert_eq!(attached.id(), device(1)),
            (Some(_), Err(Error::AlreadyAttached { device: id, .. })) => assert_eq!(id, device(0)),
            other => panic!("{other:?}"),
        }
    }
}
