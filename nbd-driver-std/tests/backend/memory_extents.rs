//! What a disk in memory says of its chunks.

use nbd_driver_std::backend::{Backend, Features, Memory};

use crate::support::{BASE_ALLOCATION, DATA, HOLE, KIB, MAY_HOLE, MIB, NO_HOLE, ZERO, extents, map};

const CHUNK: u64 = 64 * KIB;
const SIZE: u64 = 16 * MIB;

#[test]
fn it_offers_everything_and_the_context() {
    let memory = Memory::new(SIZE);
    assert_eq!(memory.features(), Features::all() - Features::ROTATIONAL);
    assert_eq!(memory.contexts(), [BASE_ALLOCATION]);
}

#[test]
fn data_zeroes_and_holes_are_told_apart() {
    let memory = Memory::new(SIZE);
    memory.write(&vec![1; CHUNK as usize], 0, false).unwrap();
    memory.write(&[1], CHUNK + 5, false).unwrap();
    memory.write_zeroes(2 * CHUNK, CHUNK, NO_HOLE).unwrap();
    memory.write_zeroes(3 * CHUNK + 1, 1, NO_HOLE).unwrap();
    assert_eq!(map(&memory, 0, SIZE), [(2 * CHUNK, DATA), (2 * CHUNK, ZERO), (SIZE - 4 * CHUNK, HOLE)]);
}

#[test]
fn data_zeroed_in_place_is_zero_and_data_again_when_written() {
    let memory = Memory::new(SIZE);
    memory.write(&vec![1; 2 * CHUNK as usize], 0, false).unwrap();
    memory.write_zeroes(0, CHUNK, NO_HOLE).unwrap();
    assert_eq!(map(&memory, 0, 2 * CHUNK), [(CHUNK, ZERO), (CHUNK, DATA)]);
    memory.write(&[1], 9, false).unwrap();
    assert_eq!(map(&memory, 0, 2 * CHUNK), [(2 * CHUNK, DATA)]);
}

#[test]
fn zeroing_frees_whole_chunks_and_trimming_touches_no_other() {
    for trim in [false, true] {
        let memory = Memory::new(SIZE);
        memory.write(&vec![1; 4 * CHUNK as usize], 0, false).unwrap();
        let (offset, length) = (CHUNK / 2, 3 * CHUNK);
        if trim {
            memory.trim(offset, length, false).unwrap();
        } else {
            memory.write_zeroes(offset, length, MAY_HOLE).unwrap();
        }
        assert_eq!(map(&memory, 0, 4 * CHUNK), [(CHUNK, DATA), (2 * CHUNK, HOLE), (CHUNK, DATA)]);
        let mut byte = [7];
        memory.read(&mut byte, offset).unwrap();
        assert_eq!(byte, [u8::from(trim)], "the edges are zeroed, but not by a trim");
    }
}

#[test]
fn the_last_chunk_is_whole_where_the_disk_ends() {
    let memory = Memory::new(CHUNK + 100);
    memory.write(&[1; 100], CHUNK, false).unwrap();
    memory.trim(CHUNK, 100, false).unwrap();
    assert_eq!(memory.used(), 0);
}

#[test]
fn like_neighbours_are_one_extent_across_groups() {
    let memory = Memory::new(SIZE);
    memory.write(&vec![1; SIZE as usize], 0, false).unwrap();
    assert_eq!(extents(&memory, 0, SIZE, true), [(SIZE, DATA)]);
}

#[test]
fn ranges_may_start_and_end_anywhere() {
    let memory = Memory::new(SIZE);
    memory.write(&[1], CHUNK, false).unwrap();
    assert_eq!(extents(&memory, 10, CHUNK, false), [(CHUNK - 10, HOLE), (10, DATA)]);
    assert_eq!(extents(&memory, 10, CHUNK, true), [(CHUNK - 10, HOLE)]);
    assert_eq!(extents(&memory, CHUNK + 1, 5, false), [(5, DATA)]);
    assert_eq!(extents(&memory, SIZE - 1, 1, false), [(1, HOLE)]);
}
