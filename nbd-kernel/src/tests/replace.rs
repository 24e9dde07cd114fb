//! New connections for dead ones.

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::support::{attached, attached_as, by_ioctl, by_netlink, errno_of, step_of};
use crate::device::Life;
use crate::error::{Error, Step};
use crate::netlink::Event;
use crate::recorded::{FIRST, Kernel, Offer, name_of};

const SHARED: TransmissionFlags = TransmissionFlags::CAN_MULTI_CONN;

#[test]
fn a_connection_is_refused_while_none_is_dead() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.take_calls();
    let (connection, _server) = Offer::default().shared().connect();
    let error = device.replace(connection, false).unwrap_err();
    assert!(matches!(error, Error::NoneDead(_)), "{error}");
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}

#[test]
fn a_dead_connection_is_replaced_and_then_none_is_dead() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached_as(&kernel, &by_netlink().identifier("i"), Offer::default(), 1);
    kernel.kill_link(FIRST, 0);
    assert_eq!(device.look().unwrap(), Life::Lost(1));
    kernel.take_calls();
    let (connection, _server) = Offer::default().connect();
    let socket = name_of(&connection);
    device.replace(connection, false).unwrap();
    assert_eq!(kernel.calls(), [format!("RECONFIGURE index={FIRST} identifier=i sockets=[{socket}]")]);
    assert_eq!(kernel.sockets(FIRST).iter().map(name_of).collect::<Vec<_>>(), [socket]);
    assert_eq!((device.look().unwrap(), device.connections()), (Life::Well, 1));
    let (connection, _server) = Offer::default().connect();
    assert!(matches!(device.replace(connection, false), Err(Error::NoneDead(_))));
}

#[test]
fn of_several_connections_as_many_are_replaced_as_are_dead() {
    let kernel = Kernel::new();
    let (mut device, mut servers) = attached(&kernel, 3);
    kernel.kill_link(FIRST, 0);
    kernel.kill_link(FIRST, 2);
    for left in [1, 0] {
        assert_eq!(device.look().unwrap(), Life::Lost(left + 1));
        let (connection, server) = Offer::default().shared().connect();
        servers.push(server);
        device.replace(connection, false).unwrap();
    }
    assert_eq!((device.look().unwrap(), device.connections()), (Life::Well, 3));
    let (connection, _server) = Offer::default().shared().connect();
    assert!(matches!(device.replace(connection, false), Err(Error::NoneDead(_))));
}

#[test]
fn another_export_is_refused_before_any_message() {
    let offer = Offer::default().blocks(512, 1 << 20);
    let others = [
        (offer.flags(SHARED), false),
        (Offer { size: 2 << 20, ..offer }, false),
        (offer.flags(SHARED), true),
        (offer.blocks(1024, 1 << 20), true),
        (offer.blocks(512, 1 << 21), true),
        (Offer { blocks: None, ..offer }, true),
    ];
    for (other, follow) in others {
        let kernel = Kernel::new();
        let (mut device, _servers) = attached_as(&kernel, &by_netlink(), offer, 1);
        kernel.kill_link(FIRST, 0);
        kernel.take_calls();
        let (connection, _server) = other.connect();
        let error = device.replace(connection, follow).unwrap_err();
        assert!(matches!(error, Error::Mismatch(_)), "{error}");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
        assert_eq!(device.look().unwrap(), Life::Lost(1));
    }
}

#[test]
fn a_new_size_is_told_behind_its_connection_if_it_is_wanted() {
    for size in [2 << 20, 1 << 19] {
        let kernel = Kernel::new();
        let (mut device, _servers) = attached_as(&kernel, &by_netlink(), Offer::default(), 1);
        kernel.kill_link(FIRST, 0);
        kernel.take_calls();
        let (connection, _server) = Offer::of_size(size + 7).connect();
        let socket = name_of(&connection);
        device.replace(connection, true).unwrap();
        // Requests in flight wait for the connection, and the kernel waits for them before it takes a size.
        let told = |what| format!("RECONFIGURE index={FIRST} {what}");
        assert_eq!(kernel.calls(), [told(format!("sockets=[{socket}]")), told(format!("size={size}"))]);
        assert_eq!((device.export().size, device.geometry().size, device.geometry().unreachable), (size + 7, size, 7));
    }
}

#[test]
fn a_size_that_is_no_device_is_refused_before_any_message() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached_as(&kernel, &by_netlink(), Offer::default(), 1);
    kernel.kill_link(FIRST, 0);
    kernel.take_calls();
    for size in [511, 1 << 63] {
        let (connection, _server) = Offer::of_size(size).connect();
        let error = device.replace(connection, true).unwrap_err();
        assert!(matches!(error, Error::Geometry(_)), "{error}");
    }
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}

#[test]
fn a_refusal_of_the_kernel_leaves_the_connection_dead() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached_as(&kernel, &by_netlink(), Offer::default(), 1);
    kernel.kill_link(FIRST, 0);
    kernel.fail_times("RECONFIGURE", Errno::INVAL, 0, 1);
    let (connection, _server) = Offer::of_size(2 << 20).connect();
    let error = device.replace(connection, true).unwrap_err();
    assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::NetlinkReconfigure), Some(Errno::INVAL)));
    assert_eq!((device.look().unwrap(), device.export().size), (Life::Lost(1), 1 << 20));
    let (connection, _server) = Offer::default().connect();
    device.replace(connection, false).unwrap();
}

#[test]
fn a_device_by_ioctl_cannot_be_given_another_connection() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    let (connection, _server) = Offer::default().connect();
    assert!(matches!(device.replace(connection, false), Err(Error::NeedsNetlink(_))));
    let times = std::time::Duration::from_secs(1);
    assert!(matches!(device.set_timeouts(times, times), Err(Error::NeedsNetlink(_))));
    device.detach().unwrap();
}

#[test]
fn a_death_of_another_device_is_none_of_this_one() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.tell(Event::LinkDead(FIRST + 1));
    kernel.tell(Event::LinkDead(0));
    assert_eq!(device.look().unwrap(), Life::Well);
}
