//! Block size and size of a device, worked out from those of an export.

use proptest::prelude::*;

use crate::export::Export;
use crate::geometry::{BadGeometry, Geometry};
use crate::recorded::{Kernel, Offer};
use crate::tests::support::by_netlink;

pub(super) const PAGE: u32 = 4096;

fn export(size: u64, minimum: u32, maximum: u32) -> Export {
    Offer::of_size(size).blocks(minimum, maximum).negotiated().into()
}

pub(super) fn geometry(
    size: u64,
    minimum: u32,
    wanted: Option<u32>,
    largest: u32,
) -> Result<(u32, u64, u64), BadGeometry> {
    let geometry = Geometry::new(&export(size, minimum, 1 << 25), wanted, largest)?;
    Ok((geometry.block_size, geometry.size, geometry.unreachable))
}

// K1
#[test]
fn the_block_size_is_the_larger_of_512_and_the_servers_minimum() {
    for (minimum, expected) in [(1, 512), (2, 512), (512, 512), (1024, 1024), (4096, 4096)] {
        assert_eq!(geometry(1 << 20, minimum, None, PAGE), Ok((expected, 1 << 20, 0)), "{minimum}");
    }
}

// K1
#[test]
fn a_tail_that_fills_no_block_is_left_out_and_said_so() {
    for (size, minimum, expected) in [
        (512, 1, (512, 512, 0)),
        (513, 1, (512, 512, 1)),
        (1000, 1, (512, 512, 488)),
        (1023, 1, (512, 512, 511)),
        (1024, 1, (512, 1024, 0)),
        (1024 + 512, 1024, (1024, 1024, 512)),
        (4097, 4096, (4096, 4096, 1)),
        (8191, 4096, (4096, 4096, 4095)),
    ] {
        assert_eq!(geometry(size, minimum, None, PAGE), Ok(expected), "{size}");
    }
}

// K1
#[test]
fn less_than_a_block_is_no_device() {
    for (size, minimum) in [(0, 1), (1, 1), (511, 1), (4095, 4096)] {
        let block_size = minimum.max(512);
        assert_eq!(geometry(size, minimum, None, PAGE), Err(BadGeometry::Empty { size, block_size }));
    }
}

#[test]
fn a_block_size_that_is_wanted_must_suit_both_sides() {
    let wanted = |wanted, minimum| geometry(1 << 20, minimum, Some(wanted), PAGE).map(|(block_size, ..)| block_size);
    for odd in [0, 1, 256, 511, 513, 1000, 4095, u32::MAX] {
        assert_eq!(wanted(odd, 1), Err(BadGeometry::NotABlockSize(odd)));
    }
    assert_eq!(wanted(512, 1), Ok(512));
    assert_eq!(wanted(4096, 512), Ok(4096));
    assert_eq!(wanted(512, 1024), Err(BadGeometry::BelowMinimum { wanted: 512, minimum: 1024 }));
    assert_eq!(wanted(8192, 1), Err(BadGeometry::AboveKernel { wanted: 8192, largest: PAGE }));
}

#[test]
fn a_minimum_above_the_page_size_needs_a_kernel_that_takes_it() {
    let large = |largest| geometry(1 << 20, 65_536, None, largest);
    assert_eq!(large(PAGE), Err(BadGeometry::AboveKernel { wanted: 65_536, largest: PAGE }));
    assert_eq!(large(65_536), Ok((65_536, 1 << 20, 0)));
}

#[test]
fn a_server_must_take_a_page_and_a_block_at_once() {
    let of = |minimum, maximum| Geometry::new(&export(1 << 20, minimum, maximum), None, 65_536).map(drop);
    assert_eq!(of(1, 4095), Err(BadGeometry::PayloadTooSmall(4095)));
    assert_eq!(of(1, 4096), Ok(()));
    assert_eq!(of(8192, 8192), Ok(()));
    assert_eq!(Geometry::new(&export(1 << 20, 1, 4096), Some(8192), 65_536), Err(BadGeometry::PayloadTooSmall(4096)));
}

#[test]
fn a_bad_geometry_is_told_before_the_first_call() {
    for offer in [Offer::of_size(511), Offer::of_size(1 << 63), Offer::default().blocks(8192, 1 << 25)] {
        let kernel = Kernel::new();
        let (connection, _server) = offer.connect();
        by_netlink().attach_on(&kernel.system(), vec![connection]).unwrap_err();
        assert_eq!(kernel.calls(), [] as [&str; 0]);
    }
}

#[test]
fn the_running_kernel_decides_how_large_a_block_may_be() {
    let kernel = Kernel::new();
    kernel.set_largest_block(65_536);
    let (connection, _server) = Offer::default().blocks(8192, 1 << 25).connect();
    let device = by_netlink().attach_on(&kernel.system(), vec![connection]).unwrap();
    assert_eq!(device.geometry().block_size, 8192);
}

proptest! {
    // K1
    #[test]
    fn what_is_reached_and_what_is_not_make_up_the_export(
        size: u64,
        minimum in (0_u32..=17).prop_map(|bits| 1 << bits),
        wanted in proptest::option::of((0_u32..=17).prop_map(|bits| 1 << bits)),
    ) {
        match Geometry::new(&export(size, minimum, 1 << 25), wanted, 65_536) {
            Ok(made) => {
                let block_size = u64::from(made.block_size);
                prop_assert!(made.block_size >= 512 && made.block_size >= minimum && made.block_size <= 65_536);
                prop_assert!(made.block_size.is_power_of_two());
                prop_assert!(made.size > 0 && made.size % block_size == 0 && i64::try_from(made.size).is_ok());
                prop_assert!(made.unreachable < block_size);
                prop_assert_eq!(made.size + made.unreachable, size);
                prop_assert_eq!(made.blocks() * block_size, made.size);
            }
            Err(BadGeometry::TooLarge(_)) => prop_assert!(size > i64::MAX as u64),
            Err(BadGeometry::Empty { .. }) => prop_assert!(size < 65_536),
            Err(BadGeometry::AboveKernel { .. }) => prop_assert!(minimum.max(wanted.unwrap_or(0)) > 65_536),
            Err(_) => prop_assert!(wanted.is_some_and(|wanted| wanted < 512 || wanted < minimum)),
        }
    }
}
