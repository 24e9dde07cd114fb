//! What is heard of connections that die.

use std::time::Duration;

use nbd_testkit::must_end;
use rustix::io::Errno;

use super::support::{attached, errno_of, step_of};
use crate::device::{Ended, Life};
use crate::error::Step;
use crate::netlink::Event;
use crate::recorded::{FIRST, Kernel, Offer};

#[test]
fn deaths_are_counted_up_to_all_connections() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 2);
    assert_eq!(device.look().unwrap(), Life::Well);
    kernel.kill_link(FIRST, 1);
    assert_eq!(device.look().unwrap(), Life::Lost(1));
    assert_eq!(device.look().unwrap(), Life::Lost(1));
    kernel.kill_link(FIRST, 0);
    // One too many does not count.
    kernel.tell(Event::LinkDead(FIRST));
    assert_eq!(device.look().unwrap(), Life::Lost(2));
}

#[test]
fn a_wait_goes_on_until_the_last_connection_is_dead() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 2);
    kernel.kill_link(FIRST, 0);
    assert_eq!(device.wait(Some(Duration::ZERO)).unwrap(), None);
    let waiting = std::thread::spawn(move || (device.wait(None).unwrap(), device));
    kernel.kill_link(FIRST, 1);
    let (ended, _device) = must_end(move || waiting.join().unwrap());
    assert_eq!(ended, Some(Ended::ServerGone));
}

#[test]
fn news_that_were_dropped_are_made_up_from_the_sockets() {
    let kernel = Kernel::new();
    let (mut device, mut servers) = attached(&kernel, 3);
    kernel.tell(Event::Overrun);
    assert_eq!(device.look().unwrap(), Life::Well);
    servers.truncate(1);
    kernel.tell(Event::Overrun);
    assert_eq!(device.look().unwrap(), Life::Lost(2));
}

#[test]
fn news_that_cannot_be_heard_are_an_error() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.tell_failure(Errno::IO);
    let error = device.look().unwrap_err();
    assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::NetlinkEvents), Some(Errno::IO)));
}

#[test]
fn a_device_that_somebody_else_detached_is_over_and_is_not_detached_again() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.take_calls();
    kernel.detach_foreign(FIRST);
    assert_eq!(device.wait(None).unwrap(), Some(Ended::Detached));
    drop(device);
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}

// Takes as long as the library waits for a word of the kernel, 2 seconds.
#[test]
fn a_device_that_somebody_else_detached_and_holds_open_is_over_too() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.hold_open(FIRST, true);
    kernel.detach_foreign(FIRST);
    let ended = must_end(move || device.wait(None).unwrap());
    assert_eq!(ended, Some(Ended::Detached));
}

// Takes as long as the library waits for a word of the kernel, 2 seconds.
#[test]
fn connections_that_die_unheard_are_dead_and_can_be_replaced() {
    let kernel = Kernel::new();
    kernel.have_no_group();
    let (mut device, servers) = attached(&kernel, 2);
    drop(servers);
    let (ended, mut device) = must_end(move || (device.wait(None).unwrap(), device));
    assert_eq!(ended, Some(Ended::ServerGone));
    let (connection, _server) = Offer::default().shared().connect();
    device.replace(connection, false).unwrap();
    assert_eq!(device.look().unwrap(), Life::Lost(1));
    drop(device);
    assert!(!kernel.is_attached(FIRST));
}
