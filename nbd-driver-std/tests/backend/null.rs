//! A disk that keeps nothing.

use nbd_driver_std::backend::{Backend, Features, Null};

use crate::support::{BASE_ALLOCATION, HOLE, MIB, NO_HOLE, extents, is_zero, read};

const SIZE: u64 = u64::MAX;

#[test]
fn it_takes_everything_and_reads_as_zeroes() {
    let null = Null::new(SIZE);
    assert_eq!(null.size(), SIZE);
    assert_eq!(null.features(), Features::all() - Features::ROTATIONAL);
    null.write(&[1; 1000], 500, true).unwrap();
    null.write_zeroes(0, SIZE, NO_HOLE).unwrap();
    null.trim(0, SIZE, true).unwrap();
    null.cache(0, SIZE).unwrap();
    null.flush().unwrap();
    assert!(is_zero(&read(&null, 0, MIB)));
}

#[test]
fn it_is_one_hole() {
    let null = Null::new(SIZE);
    assert_eq!(null.contexts(), [BASE_ALLOCATION]);
    assert_eq!(extents(&null, 0, SIZE, false), [(SIZE, HOLE)]);
    assert_eq!(extents(&null, 5, 6, true), [(6, HOLE)]);
}
