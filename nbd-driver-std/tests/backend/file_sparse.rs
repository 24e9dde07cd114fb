//! What a file takes of its file system.

use std::path::Path;

use nbd_driver_std::backend::Backend;
use rustix::fs::FallocateFlags;

use crate::support::{
    BASE_ALLOCATION, DATA, HOLE, MAY_HOLE, MIB, NO_HOLE, allocated, can, directories, is_zero, map, open, read, skip,
    sparse_file,
};

const SIZE: u64 = 8 * MIB;

/// Runs where holes can be punched.
fn where_it_can_punch(test: impl Fn(&Path)) {
    for directory in directories() {
        if can(&directory, FallocateFlags::PUNCH_HOLE) {
            test(&directory);
        } else {
            skip(&format!("files in {} take no holes", directory.display()));
        }
    }
}

#[test]
fn trimming_and_zeroing_give_space_back() {
    where_it_can_punch(|directory| {
        let file = sparse_file(directory, SIZE);
        let backend = open(file.path());
        backend.write(&vec![1; SIZE as usize], 0, true).unwrap();
        assert!(allocated(file.as_file()) >= SIZE);
        backend.trim(MIB, 2 * MIB, true).unwrap();
        assert!(allocated(file.as_file()) <= SIZE - 2 * MIB + MIB / 2);
        backend.write_zeroes(4 * MIB, 2 * MIB, MAY_HOLE).unwrap();
        assert!(allocated(file.as_file()) <= SIZE - 4 * MIB + MIB / 2);
        assert!(is_zero(&read(&backend, 4 * MIB, 2 * MIB)));
        assert!(read(&backend, 0, MIB).iter().all(|byte| *byte == 1));
    });
}

#[test]
fn extents_tell_what_was_written_and_what_was_freed() {
    where_it_can_punch(|directory| {
        let file = sparse_file(directory, SIZE);
        let backend = open(file.path());
        assert_eq!(backend.contexts(), [BASE_ALLOCATION]);
        assert_eq!(map(&backend, 0, SIZE), [(SIZE, HOLE)]);
        backend.write(&vec![1; 4 * MIB as usize], 2 * MIB, true).unwrap();
        backend.write_zeroes(3 * MIB, MIB, MAY_HOLE).unwrap();
        let expected = [(2 * MIB, HOLE), (MIB, DATA), (MIB, HOLE), (2 * MIB, DATA), (2 * MIB, HOLE)];
        assert_eq!(map(&backend, 0, SIZE), expected);
        assert_eq!(map(&backend, 3 * MIB - 5, 10), [(5, DATA), (5, HOLE)]);
    });
}

#[test]
fn zeroes_that_stay_allocated_take_space() {
    for directory in directories() {
        let file = sparse_file(&directory, SIZE);
        let backend = open(file.path());
        backend.write_zeroes(MIB, 2 * MIB, NO_HOLE).unwrap();
        assert!(allocated(file.as_file()) >= 2 * MIB, "{}", directory.display());
        assert!(is_zero(&read(&backend, 0, SIZE)));
        backend.write(&vec![1; MIB as usize], 5 * MIB, false).unwrap();
        backend.write_zeroes(5 * MIB, MIB, NO_HOLE).unwrap();
        assert!(allocated(file.as_file()) >= 3 * MIB, "{}", directory.display());
        assert!(is_zero(&read(&backend, 5 * MIB, MIB)));
    }
}
