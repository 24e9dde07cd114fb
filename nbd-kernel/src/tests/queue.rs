//! What is set on the queue of a device, and what is seen there.

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::support::{attached_as, by_ioctl, by_netlink, count, device, errno_of, step_of};
use crate::error::Step;
use crate::recorded::{FIRST, Kernel, Offer};

const NAME: &str = "queue/max_sectors_kb";

/// What is written when the kernel's value is `before`.
fn written(before: &str, offer: Offer) -> Vec<String> {
    let kernel = Kernel::new();
    kernel.set_largest_block(65_536);
    kernel.set(FIRST, NAME, before);
    let (device, _servers) = attached_as(&kernel, &by_netlink(), offer, 1);
    let calls = kernel.take_calls();
    device.detach().unwrap();
    calls.into_iter().filter(|call| call.starts_with("write")).collect()
}

#[test]
fn the_largest_request_is_lowered_to_what_the_server_takes() {
    let offer = |maximum| Offer::default().blocks(1, maximum);
    for (before, maximum, after) in [
        ("1280", 1 << 16, "64"),
        ("128", (1 << 17) - 1, "124"),
        ("128", (1 << 16) + 4095, "64"),
        ("128", 4096, "4"),
        ("128", 7000, "4"),
    ] {
        assert_eq!(written(before, offer(maximum)), [format!("write {NAME} {after}")], "{before} {maximum}");
    }
    // In whole blocks.
    let large = Offer::default().blocks(16_384, 60_000);
    assert_eq!(written("128", large), [format!("write {NAME} 48")]);
}

#[test]
fn the_largest_request_is_left_alone_where_the_server_takes_it() {
    for (before, maximum) in [("128", 1 << 17), ("1280", 1 << 25), ("4", 4096), ("32768", u32::MAX), ("odd", 4096)] {
        assert_eq!(written(before, Offer::default().blocks(1, maximum)), [] as [&str; 0], "{before} {maximum}");
    }
    assert_eq!(written("32768", Offer::default()), [] as [&str; 0]);
}

/// The kernel keeps the setting when the device ends.
#[test]
fn what_was_lowered_for_one_server_is_raised_again_for_the_next() {
    let kernel = Kernel::new();
    kernel.set(FIRST, NAME, "1280");
    let attached = |maximum| {
        let (device, _servers) = attached_as(&kernel, &by_netlink(), Offer::default().blocks(1, maximum), 1);
        device.detach().unwrap();
        kernel.take_calls().into_iter().filter(|call| call.starts_with("write")).collect::<Vec<_>>()
    };
    assert_eq!(attached(1 << 16), [format!("write {NAME} 64")]);
    assert_eq!(attached(1 << 16), [] as [&str; 0], "it is so already");
    assert_eq!(attached(1 << 17), [format!("write {NAME} 128")], "as far as this server takes it");
    assert_eq!(attached(1 << 25), [format!("write {NAME} 1280")], "as it was before all of them");
    assert_eq!(attached(1 << 16), [format!("write {NAME} 64")]);
    // What somebody else has set since is his.
    kernel.set(FIRST, NAME, "32");
    assert_eq!(attached(1 << 25), [] as [&str; 0]);
}

#[test]
fn a_device_whose_requests_would_be_too_large_is_taken_back() {
    for (how, end) in [(by_netlink(), "NL_DISCONNECT"), (by_ioctl(), "DISCONNECT")] {
        let kernel = Kernel::new();
        kernel.fail("write", Errno::INVAL);
        let (connection, _server) = Offer::default().blocks(1, 1 << 16).connect();
        let error = how.device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap_err();
        assert_eq!((step_of(&error), errno_of(&error)), (Some(Step::Sysfs(NAME)), Some(Errno::INVAL)));
        assert_eq!(count(&kernel, end), 1);
        assert!(!kernel.is_attached(FIRST));
    }
}

#[test]
fn what_the_kernel_kept_of_an_earlier_export_is_warned_of() {
    for (flags, kept, warned) in [
        (TransmissionFlags::HAS_FLAGS, "4294966784", true),
        (TransmissionFlags::SEND_WRITE_ZEROES, "4294966784", false),
        (TransmissionFlags::HAS_FLAGS, "0", false),
    ] {
        let kernel = Kernel::new();
        kernel.set(FIRST, "queue/write_zeroes_max_bytes", kept);
        let (device, _servers) = attached_as(&kernel, &by_netlink(), Offer::default().flags(flags), 1);
        let warnings = device.warnings();
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
        assert!(!warned || warnings[0].contains("BLKZEROOUT will fail"), "{warnings:?}");
    }
}
