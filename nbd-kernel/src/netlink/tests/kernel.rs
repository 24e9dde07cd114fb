//! The same code against the kernel that runs, with or without the driver in it.

use netlink_sys::SocketAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::octets::link_dead;
use crate::netlink::{Event, Events, Failure, Group, KernelWire, Session, Wire, socket};

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
    println!("the kernel says: {refused}");
    // What would have come first is not there.
    let mut into = Vec::new();
    wire.send(&crate::netlink::request::emit(crate::netlink::request::get_family("nlctrl"), 0, 5)).unwrap();
    wire.receive(&mut into).unwrap();
    assert_eq!(into[8..12], 5_u32.to_ne_bytes());
}

#[test]
fn events_do_not_wait() {
    let mut events = Events::join(Group { family: CONTROLLER, id: NOTIFY }).unwrap();
    // Families come and go on a machine at work, but none is a dead connection.
    assert_eq!(events.next().unwrap(), None);
    let mut fds = [PollFd::new(&events, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::default())).unwrap(), 0);
}
