//! A block device as a disk. Loop devices, which are files in truth, are what a test can have.

use nbd_driver_std::backend::{Backend, ZeroMode};

use crate::loop_device::open_loop;
use crate::model::{SIZE, check};
use crate::model_runs::with_requests;
use crate::support::{MAY_HOLE, MIB, allocated, is_zero, read, sparse_file};

/// A whole number of sectors.
const DEVICE: u64 = (SIZE / 512 + 1) * 512;

#[test]
fn its_size_is_found_and_it_knows_no_extents() {
    let file = sparse_file(&std::env::temp_dir(), DEVICE);
    let Some(device) = open_loop(file.path()) else { return };
    assert_eq!(device.size(), DEVICE);
    assert!(device.contexts().is_empty());
}

#[test]
fn trimming_and_zeroing_give_space_back() {
    let file = sparse_file(&std::env::temp_dir(), 8 * MIB);
    let Some(device) = open_loop(file.path()) else { return };
    device.write(&vec![1; 8 * MIB as usize], 0, true).unwrap();
    assert!(allocated(file.as_file()) >= 8 * MIB);
    device.trim(MIB - 1, 2 * MIB + 2, true).unwrap();
    assert!(allocated(file.as_file()) <= 6 * MIB + MIB / 2);
    device.write_zeroes(4 * MIB, 2 * MIB, MAY_HOLE).unwrap();
    device.flush().unwrap();
    assert!(allocated(file.as_file()) <= 4 * MIB + MIB / 2);
    assert!(is_zero(&read(&device, 4 * MIB, 2 * MIB)));
    assert!(read(&device, 3 * MIB + 1, MIB - 1).iter().all(|byte| *byte == 1));
}

#[test]
fn zeroes_need_not_be_aligned_to_sectors() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let Some(device) = open_loop(file.path()) else { return };
    device.write(&vec![1; MIB as usize], 0, false).unwrap();
    for (offset, length) in [(1, 10), (1000, 5000), (65_535, 2)] {
        device.write_zeroes(offset, length, MAY_HOLE).unwrap();
        let around = read(&device, offset - 1, length + 2);
        assert_eq!((around.first(), around.last()), (Some(&1), Some(&1)));
        assert!(is_zero(&around[1..=length as usize]));
    }
}

#[test]
fn zeroes_that_stay_allocated_are_not_promised_to_be_fast() {
    let file = sparse_file(&std::env::temp_dir(), MIB);
    let Some(device) = open_loop(file.path()) else { return };
    device.write(&vec![1; MIB as usize], 0, false).unwrap();
    let mode = ZeroMode { fua: false, no_hole: true, fast: true };
    device.write_zeroes(0, MIB, mode).unwrap_err();
    assert!(read(&device, 0, MIB).iter().all(|byte| *byte == 1));
    device.write_zeroes(0, MIB, ZeroMode { fast: false, ..mode }).unwrap();
    assert!(is_zero(&read(&device, 0, MIB)));
    assert!(allocated(file.as_file()) >= MIB / 2);
}

#[test]
fn it_is_like_the_model() {
    let new = || sparse_file(&std::env::temp_dir(), DEVICE);
    if open_loop(new().path()).is_none() {
        return;
    }
    with_requests(8, |requests| {
        let file = new();
        check(&open_loop(file.path()).unwrap(), requests);
    });
}
