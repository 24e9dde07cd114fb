//! A disk's size costs neither memory nor time.

use nbd_driver_std::backend::{Backend, Memory};

use crate::support::{DATA, HOLE, KIB, MAY_HOLE, MIB, extents, is_zero, map, read};

const LARGEST: u64 = i64::MAX as u64;
const CHUNK: u64 = 64 * KIB;

#[test]
fn an_empty_disk_of_8_eib_takes_nothing_and_is_one_hole() {
    let memory = Memory::new(LARGEST);
    assert_eq!(memory.used(), 0);
    assert_eq!(extents(&memory, 0, LARGEST, false), [(LARGEST, HOLE)]);
    assert!(is_zero(&read(&memory, LARGEST - MIB, MIB)));
    assert_eq!(memory.used(), 0, "reading takes nothing");
}

#[test]
fn islands_far_apart_are_found() {
    let memory = Memory::new(LARGEST);
    memory.write(b"first", 3, false).unwrap();
    memory.write(b"middle", 1 << 50, false).unwrap();
    memory.write(b"last", LARGEST - 4, false).unwrap();
    let middle = 1 << 50;
    let last = LARGEST - LARGEST % CHUNK;
    let expected =
        [(CHUNK, DATA), (middle - CHUNK, HOLE), (CHUNK, DATA), (last - middle - CHUNK, HOLE), (LARGEST - last, DATA)];
    assert_eq!(map(&memory, 0, LARGEST), expected);
    assert_eq!(read(&memory, middle, 6), b"middle");
    assert_eq!(read(&memory, LARGEST - 4, 4), b"last");
    assert!(memory.used() < MIB, "{} bytes for three chunks", memory.used());
}

#[test]
fn all_of_it_is_trimmed_or_zeroed_in_one_request() {
    let memory = Memory::new(LARGEST);
    for island in (0..LARGEST).step_by(1 << 58) {
        memory.write(b"x", island, false).unwrap();
    }
    memory.trim(0, LARGEST, false).unwrap();
    assert_eq!(memory.used(), 0);
    memory.write(b"last", LARGEST - 4, false).unwrap();
    memory.write_zeroes(0, LARGEST, MAY_HOLE).unwrap();
    assert_eq!(memory.used(), 0);
    assert!(is_zero(&read(&memory, LARGEST - 4, 4)));
}

#[test]
fn sizes_end_only_with_their_number() {
    let memory = Memory::new(u64::MAX);
    memory.write(b"end", u64::MAX - 3, false).unwrap();
    assert_eq!(read(&memory, u64::MAX - 3, 3), b"end");
    assert_eq!(map(&memory, 0, u64::MAX).last(), Some(&(CHUNK - 1, DATA)));
    memory.write_zeroes(0, u64::MAX, MAY_HOLE).unwrap();
    assert!(is_zero(&read(&memory, u64::MAX - 3, 3)));
}
