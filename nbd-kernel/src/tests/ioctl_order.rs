//! A device by ioctl: every call, in order, from the claim to the close.

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::support::{by_ioctl, device};
use crate::recorded::{FIRST, Kernel, Offer, name_of};

// K2, K3, K4
#[test]
fn a_life_by_ioctl_has_its_calls_in_order() {
    let kernel = Kernel::new();
    let offer = Offer::of_size(1 << 20).flags(TransmissionFlags::SEND_FLUSH).blocks(2048, 1 << 25);
    let (connection, _server) = offer.connect();
    let socket = name_of(&connection);
    let device = by_ioctl().device(device(1)).attach_on(&kernel.system(), vec![connection]).unwrap();
    device.detach().unwrap();
    let expected = [
        format!("open {}", FIRST + 1),
        format!("SET_SOCK {socket}"),
        "SET_BLKSIZE 2048".to_owned(),
        "SET_SIZE_BLOCKS 512".to_owned(),
        "SET_TIMEOUT 60".to_owned(),
        "SET_FLAGS 5".to_owned(),
        "DO_IT".to_owned(),
        // The first look at it, …
        format!("open {}", FIRST + 1),
        format!("close {}", FIRST + 1),
        // … to detach, …
        "CLEAR_QUE".to_owned(),
        "DISCONNECT".to_owned(),
        // … and what always comes behind DO_IT.
        "CLEAR_QUE".to_owned(),
        "CLEAR_SOCK".to_owned(),
        format!("close {}", FIRST + 1),
    ];
    assert_eq!(kernel.calls(), expected);
}

// K2
#[test]
fn all_sockets_come_first_in_their_order() {
    let kernel = Kernel::new();
    let connections = [(); 3].map(|()| Offer::default().shared().connect());
    let names: Vec<_> = connections.iter().map(|(ours, _)| format!("SET_SOCK {}", name_of(ours))).collect();
    let (ours, _servers): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
    let device = by_ioctl().device(device(0)).attach_on(&kernel.system(), ours).unwrap();
    assert_eq!(kernel.calls()[1..4], names);
    assert_eq!(kernel.calls()[4], "SET_BLKSIZE 512");
    device.detach().unwrap();
}

// K3
#[test]
fn a_read_only_attach_says_so_in_the_flags() {
    let kernel = Kernel::new();
    let (connection, _server) = Offer::default().connect();
    drop(by_ioctl().device(device(0)).read_only(true).attach_on(&kernel.system(), vec![connection]).unwrap());
    assert!(kernel.calls().contains(&"SET_FLAGS 3".to_owned()), "{:?}", kernel.calls());
}

// K2
#[test]
fn a_kernel_that_takes_no_flags_is_told_of_read_only_by_the_block_layer() {
    for (flags, fallback) in [(TransmissionFlags::READ_ONLY, true), (TransmissionFlags::SEND_TRIM, false)] {
        let kernel = Kernel::new();
        kernel.fail("SET_FLAGS", Errno::NOTTY);
        let (connection, _server) = Offer::default().flags(flags).connect();
        let device = by_ioctl().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap();
        let calls = kernel.calls();
        let place = calls.iter().position(|call| call.starts_with("SET_FLAGS")).unwrap();
        let expected = if fallback { ["BLKROSET", "DO_IT"].as_slice() } else { &["DO_IT"] };
        assert_eq!(calls[place + 1..place + 1 + expected.len()], *expected);
        device.detach().unwrap();
    }
}
