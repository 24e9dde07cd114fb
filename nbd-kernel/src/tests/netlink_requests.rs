//! What a device by netlink is asked for, from the first request to the last.

use std::time::Duration;

use nbd_proto::wire::flags::TransmissionFlags;

use super::support::{attached, attached_as, by_netlink, count, device};
use crate::attach::Attach;
use crate::error::Error;
use crate::recorded::{FIRST, Kernel, Offer, name_of};

#[test]
fn a_life_by_netlink_has_its_requests_in_order() {
    let kernel = Kernel::new();
    let flags = TransmissionFlags::SEND_FLUSH | TransmissionFlags::CAN_MULTI_CONN;
    let offer = Offer::of_size((1 << 20) + 100).flags(flags).blocks(1024, 1 << 25);
    let (ours, _servers): (Vec<_>, Vec<_>) = [(); 2].map(|()| offer.connect()).into_iter().unzip();
    let names: Vec<_> = ours.iter().map(name_of).collect();
    let attach = by_netlink()
        .device(device(1))
        .block_size(4096)
        .timeout(Some(Duration::from_millis(1001)))
        .dead_timeout(Some(Duration::from_secs(7)))
        .read_only(true)
        .identifier("this")
        .destroy_on_disconnect(true);
    attach.attach_on(&kernel.system(), ours).unwrap().detach().unwrap();
    let server = (flags | TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY).bits();
    let connect = format!(
        "CONNECT index={} size=1048576 block=4096 timeout=2 dead=7 server={server} client=1 identifier=this \
         sockets={names:?}",
        FIRST + 1
    );
    let look = [format!("open {}", FIRST + 1), format!("close {}", FIRST + 1)];
    let end = format!("NL_DISCONNECT index={}", FIRST + 1);
    assert_eq!(kernel.calls(), ["GETFAMILY", "join", &connect, &look[0], &look[1], "GETFAMILY", &end]);
}

#[test]
fn what_is_not_asked_for_is_told_as_nothing_and_the_device_is_the_kernels_choice() {
    let kernel = Kernel::new();
    kernel.hold_open(FIRST, true);
    let (connection, _server) = Offer::default().connect();
    let socket = name_of(&connection);
    let made = Attach::new().timeout(None).attach_on(&kernel.system(), vec![connection]).unwrap();
    assert_eq!(made.id(), device(1));
    let connect = format!("CONNECT size=1048576 block=512 timeout=0 dead=0 server=1 client=0 sockets=[{socket}]");
    assert_eq!(kernel.calls()[2], connect);
}

#[test]
fn a_driver_without_a_group_is_used_without_news() {
    let kernel = Kernel::new();
    kernel.have_no_group();
    let (device, _servers) = attached(&kernel, 1);
    assert_eq!((count(&kernel, "join"), count(&kernel, "CONNECT")), (0, 1));
    device.detach().unwrap();
}

#[test]
fn times_that_the_kernel_cannot_count_are_refused_before_the_first_call() {
    let long = Some(Duration::from_secs(2_000_001));
    for attach in [by_netlink().timeout(long), by_netlink().dead_timeout(long)] {
        let kernel = Kernel::new();
        let (connection, _server) = Offer::default().connect();
        let error = attach.attach_on(&kernel.system(), vec![connection]).unwrap_err();
        assert!(matches!(error, Error::Setting(_)) && error.to_string().contains("2000001"), "{error}");
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
}

#[test]
fn each_change_repeats_the_identifier() {
    let kernel = Kernel::new();
    let attach = by_netlink().identifier("mine");
    let (mut device, _servers) = attached_as(&kernel, &attach, Offer::default(), 1);
    kernel.take_calls();
    device.resize(2 << 20).unwrap();
    device.set_timeouts(Duration::from_millis(2_001), Duration::from_secs(4)).unwrap();
    let changes = [
        format!("RECONFIGURE index={FIRST} size=2097152 identifier=mine"),
        format!("RECONFIGURE index={FIRST} timeout=3 dead=4 identifier=mine"),
    ];
    assert_eq!(kernel.calls(), changes);
    assert_eq!(kernel.size(FIRST), 2 << 20);
    assert_eq!((device.export().size, device.geometry().size), (2 << 20, 2 << 20));
}

#[test]
fn a_device_that_ends_with_its_last_user_is_opened_before_it_is_told_so() {
    for (destroy, flags) in [(false, 2), (true, 3)] {
        let kernel = Kernel::new();
        let attach = by_netlink().identifier("i").disconnect_on_close(true).destroy_on_disconnect(destroy);
        let (device, _servers) = attached_as(&kernel, &attach, Offer::default(), 1);
        let calls = kernel.take_calls();
        assert!(calls[2].contains(&format!(" client={} ", u8::from(destroy))), "{}", calls[2]);
        let change = format!("RECONFIGURE index={FIRST} client={flags} identifier=i");
        let (open, close) = (format!("open {FIRST}"), format!("close {FIRST}"));
        // Not the one of the first look.
        assert_eq!(calls[3..], [open.clone(), close, open, change]);
        device.leave().unwrap();
        assert_eq!(kernel.calls(), [format!("close {FIRST}")]);
    }
}

#[test]
fn a_time_out_that_the_kernel_cannot_count_changes_nothing() {
    let kernel = Kernel::new();
    let (mut device, _servers) = attached(&kernel, 1);
    kernel.take_calls();
    let error = device.set_timeouts(Duration::MAX, Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Setting(_)), "{error}");
    assert_eq!(kernel.calls(), [] as [&str; 0]);
}
