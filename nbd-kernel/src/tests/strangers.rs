//! A device's name that is another's by now.

use std::fs;
use std::os::unix::net::UnixStream;

use nbd_testkit::must_end;

use super::support::{attached_as, by_ioctl, by_netlink, count, device};
use crate::attach::Interface;
use crate::device::{Device, Ended, Life};
use crate::error::Error;
use crate::netlink::Event;
use crate::recorded::{FIRST, Kernel, Offer};
use crate::supervisor::Supervisor;

/// A device that somebody has detached, and another process has attached anew, both unseen by its owner.
fn taken_over(kernel: &Kernel) -> (Device, Vec<UnixStream>) {
    let attached = attached_as(kernel, &by_netlink().origin("nbd://ours"), Offer::default(), 1);
    kernel.detach_foreign(FIRST);
    assert!(!kernel.is_attached(FIRST));
    kernel.attach_foreign(FIRST, Interface::Netlink, 77);
    kernel.take_calls();
    attached
}

#[test]
fn the_device_of_another_is_not_ended_in_the_place_of_ours() {
    let kernel = Kernel::new();
    let (ours, _servers) = taken_over(&kernel);
    ours.detach().unwrap();
    let (ours, _servers) = {
        kernel.detach_foreign(FIRST);
        assert!(!kernel.is_attached(FIRST));
        taken_over(&kernel)
    };
    drop(ours);
    assert_eq!(count(&kernel, "NL_DISCONNECT"), 0);
    assert!(kernel.is_attached(FIRST));
}

#[test]
fn the_device_of_another_is_not_changed_in_the_place_of_ours() {
    let kernel = Kernel::new();
    let (mut ours, _servers) = taken_over(&kernel);
    kernel.tell(Event::LinkDead(FIRST));
    let (connection, _server) = Offer::default().connect();
    let times = std::time::Duration::from_secs(1);
    for refused in [ours.replace(connection, false), ours.resize(4096), ours.set_timeouts(times, times)] {
        assert!(matches!(refused, Err(Error::NotAttached(id)) if id == device(0)), "{refused:?}");
    }
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}

#[test]
fn a_device_that_is_anothers_by_now_is_over_whatever_dies_there() {
    let kernel = Kernel::new();
    let (ours, _servers) = taken_over(&kernel);
    kernel.tell(Event::LinkDead(FIRST));
    let mut supervisor = Supervisor::new(ours, || Err(Error::NoConnection)).unwrap();
    let (ended, supervisor) = must_end(move || (supervisor.run(), supervisor));
    assert_eq!(ended, Some(Ended::Detached));
    drop(supervisor);
    assert!(kernel.is_attached(FIRST));
}

#[test]
fn a_device_that_has_ended_is_not_changed() {
    for attach in [by_netlink(), by_ioctl()] {
        let kernel = Kernel::new();
        let (mut ours, servers) = attached_as(&kernel, &attach, Offer::default(), 1);
        if ours.interface() == Interface::Ioctl {
            drop(servers);
        } else {
            kernel.detach_foreign(FIRST);
        }
        must_end(move || {
            while !matches!(ours.look().unwrap(), Life::Over(_)) {
                std::thread::yield_now();
            }
            kernel.take_calls();
            let refused = ours.resize(4096);
            assert!(matches!(refused, Err(Error::NotAttached(_))), "{refused:?}");
            assert_eq!((kernel.calls(), ours.geometry().size), (Vec::new(), 1 << 20));
        });
    }
}

#[test]
fn a_note_about_the_device_of_another_stays() {
    let kernel = Kernel::new();
    let (ours, _servers) = taken_over(&kernel);
    kernel.note(0, 77);
    let note = kernel.notes_dir().join(format!("nbd{FIRST}"));
    let request = note.with_extension("detach");
    fs::write(&request, "").unwrap();
    drop(ours);
    assert!(note.exists() && request.exists());
}
