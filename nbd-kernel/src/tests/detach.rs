//! The end of a device that is another's.

use std::time::Duration;
use std::{fs, thread};

use nbd_testkit::must_end;
use rustix::io::Errno;
use rustix::process::Signal;

use super::support::{attached_as, await_call, count, device, errno_of, step_of};
use crate::attach::{Attach, Interface};
use crate::detach::Detach;
use crate::device::Ended;
use crate::error::{Error, Step};
use crate::recorded::{FIRST, Kernel, Offer};

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
        // The kernel names a thread of it.
        kernel.set_process(77, 70, "nbd");
        kernel.set_holders(&["mounted on /mnt", "held open by nbd (process 70)", "held open by cat (process 7)"]);
        let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
        let Error::InUse { holders, .. } = error else { panic!("{error}") };
        match interface {
            // Not the process that runs it.
            Interface::Ioctl => assert_eq!(holders, "mounted on /mnt, held open by cat (process 7)"),
            // It needs none, and the number of the one that made it may be another's by now.
            Interface::Netlink => assert!(holders.contains("process 70") && holders.contains("process 7)")),
        }
        assert_eq!(kernel.calls(), [] as [&str; 0]);
        assert!(kernel.is_attached(FIRST));
    }
}

#[test]
fn who_runs_the_device_is_no_user_of_it() {
    let kernel = foreign(Interface::Ioctl);
    kernel.set_process(77, 70, "nbd");
    kernel.set_holders(&["held open by nbd (process 70)"]);
    Detach::new().detach_on(&kernel.system(), device(0)).unwrap();
}

#[test]
fn force_ends_what_is_in_use_and_tells_who_still_has_it() {
    let kernel = foreign(Interface::Netlink);
    kernel.hold_open(FIRST, true);
    kernel.set_holders(&["mounted on /mnt"]);
    let detached = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
    assert_eq!(detached.still_held, ["mounted on /mnt"]);
}

#[test]
fn an_owner_that_does_not_let_go_is_told_of() {
    let kernel = foreign(Interface::Ioctl);
    kernel.have_rude_servers();
    let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { what: "its end", .. }), "{error}");
    // Neither cleared nor killed without force.
    assert_eq!(kernel.calls(), [format!("open {FIRST}"), "DISCONNECT".to_owned(), format!("close {FIRST}")]);
}

#[test]
fn force_asks_the_owner_then_tells_him_then_kills_him() {
    for (mortal, signals) in [(Signal::TERM, &["signal 70 15"][..]), (Signal::KILL, &["signal 70 15", "signal 70 9"])] {
        let kernel = Kernel::new();
        kernel.attach_foreign(FIRST, Interface::Ioctl, 70);
        kernel.set_process(70, 70, "nbd");
        kernel.set_mortal(mortal);
        let notes = kernel.notes_dir();
        kernel.note(0, 70);
        let detached = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
        assert_eq!(detached.still_held, [] as [&str; 0]);
        let sent: Vec<_> = kernel.calls().into_iter().filter(|call| call.starts_with("signal")).collect();
        assert_eq!(sent, signals);
        // Nothing that could hang where the owner hangs.
        assert_eq!(count(&kernel, "open") + count(&kernel, "DISCONNECT") + count(&kernel, "CLEAR_SOCK"), 0);
        // First there was time for an owner who looks for the request.
        assert!(kernel.pauses().iter().sum::<Duration>() >= Duration::from_secs(4));
        // He lives as far as the fake goes, and so has the request to himself.
        assert!(fs::exists(notes.join(format!("nbd{FIRST}.detach"))).unwrap());
    }
}

#[test]
fn an_owner_that_does_not_die_is_told_of() {
    let kernel = foreign(Interface::Ioctl);
    kernel.set_process(77, 77, "nbd");
    let error = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { what: "its end", .. }), "{error}");
}

#[test]
fn this_process_is_not_killed_for_a_device_of_its_own() {
    let kernel = Kernel::new();
    let pid = std::process::id();
    kernel.attach_foreign(FIRST, Interface::Ioctl, pid);
    kernel.set_process(pid, pid, "test");
    Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
    assert_eq!(count(&kernel, "signal"), 0);
    assert_eq!(count(&kernel, "DISCONNECT"), 1);
}

#[test]
fn without_force_no_request_in_flight_is_lost_to_a_server_that_is_silent() {
    for interface in [Interface::Netlink, Interface::Ioctl] {
        let kernel = foreign(interface);
        kernel.set_traffic(&[(1, 5)]);
        let error = Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
        assert!(matches!(error, Error::ServerSilent(_)), "{error}");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
    // One that is finished, and one that has nothing to do.
    for traffic in [&[(1, 5), (1, 5), (2, 6)][..], &[(1, 5), (1, 5), (0, 5)], &[(0, 5)]] {
        let kernel = foreign(Interface::Netlink);
        kernel.set_traffic(traffic);
        Detach::new().detach_on(&kernel.system(), device(0)).unwrap();
    }
    let kernel = foreign(Interface::Netlink);
    kernel.set_traffic(&[(1, 5)]);
    Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
}

#[test]
fn a_disconnect_that_hangs_is_given_up() {
    for (interface, call) in [(Interface::Netlink, "NL_DISCONNECT"), (Interface::Ioctl, "DISCONNECT")] {
        let kernel = foreign(interface);
        kernel.hang(call);
        let (system, detach) = (kernel.system(), Detach::new().patience(Duration::from_secs(1)));
        let error = must_end(move || detach.detach_on(&system, device(0)).unwrap_err());
        assert!(matches!(error, Error::TimedOut { what: "the kernel's answer", .. }), "{error}");
        kernel.release();
    }
}

/// It sends to a server that takes nothing, and gives that up only at the device's request time-out.
#[test]
fn force_waits_as_long_as_the_kernel_may_send() {
    let kernel = foreign(Interface::Netlink);
    kernel.set(FIRST, "queue/io_timeout", "60000");
    kernel.hang("NL_DISCONNECT");
    let (system, detach) = (kernel.system(), Detach::new().force(true).patience(Duration::ZERO));
    let detaching = thread::spawn(move || detach.detach_on(&system, device(0)).unwrap());
    // Without any patience it would be given up at once; with what the device asks for it is still there.
    await_call(&kernel, "NL_DISCONNECT", 1);
    kernel.release();
    must_end(move || detaching.join().unwrap());
}

#[test]
fn force_lets_an_owner_end_his_netlink_device_before_the_kernel_is_asked() {
    let kernel = Kernel::new();
    let origin = Attach::new().interface(Interface::Netlink).origin("nbd://here");
    let (mut owned, _servers) = attached_as(&kernel, &origin, Offer::default(), 1);
    kernel.set_process(std::process::id(), std::process::id(), "owner");
    kernel.take_calls();
    kernel.hang_pauses();
    let (system, detach) = (kernel.system(), Detach::new().force(true));
    let detaching = thread::spawn(move || detach.detach_on(&system, device(0)).unwrap());
    // The owner sees the request, and ends the device.
    let ended = must_end(move || owned.wait(None).unwrap());
    assert_eq!(ended, Some(Ended::Detached));
    kernel.release();
    must_end(move || detaching.join().unwrap());
    assert_eq!(count(&kernel, "NL_DISCONNECT"), 1);
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

#[test]
fn nobody_is_killed_for_a_device_that_ends_while_it_is_looked_at() {
    let kernel = Kernel::new();
    // The one who made it by netlink lives on, and does something else.
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    kernel.set_process(77, 77, "manager");
    kernel.end_before_reading("backend", FIRST);
    let error = Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap_err();
    assert!(matches!(error, Error::NotAttached(_)), "{error}");
    assert_eq!(count(&kernel, "signal"), 0);
}

#[test]
fn a_process_that_does_not_have_the_device_is_not_killed_for_it() {
    let kernel = foreign(Interface::Ioctl);
    // As in a container, where the kernel's numbers are those of others.
    kernel.set_process(77, 77, "somebody");
    kernel.fail("borrow", Errno::BADF);
    Detach::new().force(true).detach_on(&kernel.system(), device(0)).unwrap();
    assert_eq!((count(&kernel, "signal"), count(&kernel, "DISCONNECT")), (0, 1));
}

#[test]
fn force_does_not_end_the_device_that_comes_after() {
    for interface in [Interface::Netlink, Interface::Ioctl] {
        let kernel = foreign(interface);
        kernel.set_process(77, 77, "nbd");
        kernel.note(0, 77);
        kernel.hang_pauses();
        let (system, detach) = (kernel.system(), Detach::new().force(true));
        let detaching = thread::spawn(move || detach.detach_on(&system, device(0)).unwrap());
        let pausing = kernel.clone();
        must_end(move || pausing.await_pause());
        kernel.detach_foreign(FIRST);
        assert!(!kernel.is_attached(FIRST));
        kernel.attach_foreign(FIRST, Interface::Netlink, 78);
        kernel.release();
        must_end(move || detaching.join().unwrap());
        assert!(kernel.is_attached(FIRST));
        assert_eq!(count(&kernel, "signal"), 0);
    }
}

#[test]
fn a_detach_that_fails_leaves_the_note_of_who_attached_it() {
    let kernel = foreign(Interface::Netlink);
    kernel.note(0, 77);
    kernel.fail("NL_DISCONNECT", Errno::PERM);
    Detach::new().detach_on(&kernel.system(), device(0)).unwrap_err();
    let note = kernel.notes_dir().join(format!("nbd{FIRST}"));
    assert!(note.exists() && !note.with_extension("detach").exists());
}
