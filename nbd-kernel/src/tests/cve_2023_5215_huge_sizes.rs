//! CVE-2023-5215, at the hand-over to the kernel: a server tells a size of 2^63 bytes or more, and the kernel keeps the sizes
//! of devices in signed numbers.
//!
//! We promise: such an export is refused by its size before the kernel is asked for anything; one byte less is a device.

use crate::geometry::BadGeometry;
use crate::recorded::{Kernel, Offer};
use crate::tests::geometry::{PAGE, geometry};
use crate::tests::support::by_netlink;

const MOST: u64 = i64::MAX as u64;

// K1
#[test]
fn what_the_kernels_type_cannot_hold_is_too_large() {
    assert_eq!(geometry(MOST, 1, None, PAGE), Ok((512, MOST - 511, 511)));
    for size in [MOST + 1, u64::MAX - 511, u64::MAX] {
        assert_eq!(geometry(size, 1, None, PAGE), Err(BadGeometry::TooLarge(size)));
    }
}

#[test]
fn the_kernel_is_not_asked_for_such_a_device() {
    for size in [MOST + 1, u64::MAX] {
        let kernel = Kernel::new();
        let (connection, _server) = Offer::of_size(size).connect();
        by_netlink().attach_on(&kernel.system(), vec![connection]).unwrap_err();
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
}
