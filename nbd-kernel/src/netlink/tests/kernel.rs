//! The same code against the kernel that runs, with or without the driver in it.

use std::fs;
use std::io::ErrorKind;

use netlink_sys::SocketAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::octets::{FAMILY, link_dead};
use crate::netlink::family::Family;
use crate::netlink::link::Link;
use crate::netlink::{Event, Events, Failure, Group, KernelWire, Session, Wire, request, socket};

/// The controller's own number and that of its group, the same on every kernel.
const CONTROLLER: u16 = 16;
const NOTIFY: u32 = 16;

fn wire() -> Box<dyn Wire> {
    Box::new(KernelWire::open().unwrap())
}

#[test]
fn a_family_that_every_kernel_has_is_found_with_its_group() {
    let session = Session::open_as(wire(), "nlctrl", "notify").unwrap();
    assert_eq!(session.events_group(), Some(Group { family: CONTROLLER, id: NOTIFY }));
}

#[test]
fn a_family_that_no_kernel_has_is_not_found() {
    let failure = Session::open_as(wire(), "no such family", "notify").unwrap_err();
    assert!(matches!(failure, Failure::NoFamily), "{failure}");
}

#[test]
fn the_driver_is_found_or_is_not_there() {
    match Session::open(wire()) {
        Ok(mut session) => {
            assert!(session.events_group().is_some());
            session.status(None).unwrap();
        }
        Err(failure) => assert!(matches!(failure, Failure::NoFamily), "{failure}"),
    }
}

#[test]
fn the_kernels_own_words_come_with_its_refusal() {
    // More than a family's name may have, which the controller checks before it looks.
    let name = "n".repeat(200);
    match Session::open_as(wire(), &name, "notify") {
        Err(Failure::Refused { message, .. }) => assert!(message.is_some_and(|text| !text.is_empty())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_else_can_answer() {
    let mut wire = KernelWire::open().unwrap();
    let (stranger, _) = socket::open().unwrap();
    let refused = stranger.send_to(&link_dead(1), &SocketAddr::new(wire.port(), 0), 0).unwrap_err();
    assert!([Errno::CONNREFUSED, Errno::PERM].contains(&Errno::from_io_error(&refused).unwrap()), "{refused}");
    // It would have come first.
    let mut first = Vec::new();
    wire.send(&request::emit(request::get_family("nlctrl"), 0, 5)).unwrap();
    wire.receive(&mut first).unwrap();
    assert_eq!(first[8..12], 5_u32.to_ne_bytes());
}

#[test]
fn events_do_not_wait() {
    // Families come and go on a machine at work, but none is a dead connection.
    let mut events = Events::join(Group { family: FAMILY, id: NOTIFY }).unwrap();
    assert_eq!(events.next().unwrap(), None);
}

/// Numbers of groups that hardly a kernel gets to, as it numbers them from 1 when families come. One for each test.
const DEAF_TO_STRANGERS: u32 = 31;
const OVERRUN: u32 = 32;

/// Sends to a group as any process with the right can; `false` if this one cannot.
fn tell(group: u32, message: &[u8], times: u32) -> bool {
    let (stranger, _) = socket::open().unwrap();
    for _ in 0..times {
        match stranger.send_to(message, &SocketAddr::new(0, 1 << (group - 1)), 0) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                println!("skipped: sending to a group needs CAP_NET_ADMIN");
                return false;
            }
            Err(error) => panic!("{error}"),
        }
    }
    true
}

#[test]
fn what_others_send_to_the_group_is_no_event() {
    let mut events = Events::join(Group { family: FAMILY, id: DEAF_TO_STRANGERS }).unwrap();
    if !tell(DEAF_TO_STRANGERS, &link_dead(1), 2) {
        return;
    }
    let is_readable = |events: &Events| {
        let mut fds = [PollFd::new(events, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    };
    assert!(is_readable(&events));
    assert_eq!(events.next().unwrap(), None);
    assert!(!is_readable(&events), "all was taken");
}

#[test]
fn events_that_were_lost_are_told_once() {
    let mut events = Events::join(Group { family: FAMILY, id: OVERRUN }).unwrap();
    let buffer = fs::read_to_string("/proc/sys/net/core/rmem_default").unwrap().trim().parse::<u32>().unwrap();
    if !tell(OVERRUN, &[0; 4096], buffer / 4096 + 1) {
        return;
    }
    assert_eq!(events.next().unwrap(), Some(Event::Overrun));
    assert_eq!(events.next().unwrap(), None);
}

#[test]
fn a_session_outlives_a_refusal() {
    let mut link = Link::new(wire());
    for _ in 0..3 {
        let failure = Family::resolve(&mut link, "no such family", "notify").unwrap_err();
        assert!(matches!(failure, Failure::NoFamily), "{failure}");
        assert_eq!(Family::resolve(&mut link, "nlctrl", "none").unwrap(), Family { id: CONTROLLER, group: None });
    }
}
