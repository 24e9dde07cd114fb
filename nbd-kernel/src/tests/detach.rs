//! The end of a device that is another's.

use std::time::Duration;

use nbd_testkit::must_end;
use rustix::io::Errno;

use super::support::{count, device, errno_of, step_of};
use crate::attach::Interface;
use crate::detach::Detach;
use crate::error::{Error, Step};
use crate::recorded::{FIRST, Kernel};

fn foreign(interface: Interface) -> Kernel {
    let kernel = Kernel::new();
    kernel.attach_foreign(FIRST, interface, 77);
    kernel
}

#[test]
fn a_device_that_is_not_attached_is_told_as_such() {
    let kernel = Kernel::new();
    let error = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap_err();
    assert!(matches!(error, Error::NotAttached(id) if id == device(0)), "{error}");
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}

// K4
#[test]
fn each_device_is_ended_by_the_interface_that_made_it() {
    let netlink = ["GETFAMILY".to_owned(), format!("NL_DISCONNECT index={FIRST}")];
    let ioctl = [format!("open {FIRST}"), "DISCONNECT".to_owned(), format!("close {FIRST}")];
    for (interface, calls) in [(Interface::Netlink, &netlink[..]), (Interface::Ioctl, &ioctl[..])] {
        let kernel = foreign(interface);
        let detached = Detach::new().detach_on(&kernel.system(), device(0)).unwrap();
        assert_eq!(detached.still_held, [] as [&str; 0]);
        assert_eq!(kernel.calls(), calls);
        assert!(!kernel.is_attached(FIRST));
    }
}

#[test]
fn a_device_in_use_stays_and_its_users_are_named() {
    for interface in [Interface::Netlink, Interface::Ioctl] {
        let kernel = foreign(interface);
        kernel.set_holders(&["mounted on /mnt", "held open by nbd (process 77)", "held open by cat (process 7)"]);
        let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
        let Error::InUse { holders, .. } = error else { panic!("{error}") };
        // Not the process that runs it.
        assert_eq!(holders, "mounted on /mnt, held open by cat (process 7)");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
        assert!(kernel.is_attached(FIRST));
    }
}

#[test]
fn who_runs_the_device_is_no_user_of_it() {
    let kernel = foreign(Interface::Ioctl);
    kernel.set_holders(&["held open by nbd (process 77)"]);
    Detach::new().detach_on(&kernel.system(), device(0)).unwrap();
}

#[test]
fn force_ends_what_is_in_use_and_tells_who_still_has_it() {
    for interface in [Interface::Netlink, Interface::Ioctl] {
        let kernel = foreign(interface);
        kernel.hold_open(FIRST, true);
        kernel.set_holders(&["mounted on /mnt"]);
        let detached = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
        assert_eq!(detached.still_held, ["mounted on /mnt"]);
    }
}

#[test]
fn a_server_that_does_not_hang_up_needs_force() {
    let kernel = foreign(Interface::Ioctl);
    kernel.have_rude_servers();
    let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { what: "its end", .. }), "{error}");
    assert_eq!(count(&kernel, "CLEAR_SOCK"), 0);
    Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
    assert_eq!(count(&kernel, "CLEAR_SOCK"), 1);
    assert!(!kernel.is_attached(FIRST));
}

#[test]
fn a_disconnect_that_hangs_is_given_up_and_force_clears_the_sockets() {
    for (interface, call) in [(Interface::Netlink, "NL_DISCONNECT"), (Interface::Ioctl, "DISCONNECT")] {
        let kernel = foreign(interface);
        kernel.hang(call);
        let detach = Detach::new().patience(Duration::from_secs(2));
        let (system, polite) = (kernel.system(), detach.clone());
        let error = must_end(move || polite.detach_on(&system, device(0)).unwrap_err());
        assert!(matches!(error, Error::TimedOut { what: "the kernel's answer", .. }), "{error}");
        assert_eq!(count(&kernel, "CLEAR_SOCK"), 0);

        let system = kernel.system();
        must_end(move || detach.force(true).detach_on(&system, device(0)).unwrap());
        assert_eq!(count(&kernel, "CLEAR_SOCK"), 1);
        kernel.release();
    }
}

#[test]
fn a_refusal_is_told_with_its_step() {
    for (interface, call, step) in [
        (Interface::Netlink, "NL_DISCONNECT", Step::NetlinkDisconnect),
        (Interface::Netlink, "GETFAMILY", Step::OpenNetlink),
        (Interface::Ioctl, "open", Step::OpenNode),
        (Interface::Ioctl, "DISCONNECT", Step::Disconnect),
    ] {
        let kernel = foreign(interface);
        kernel.fail(call, Errno::PERM);
        let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
        assert_eq!((step_of(&error), errno_of(&error)), (Some(step), Some(Errno::PERM)));
        assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
        assert_eq!(count(&kernel, "CLEAR_SOCK"), 0);
    }
}
