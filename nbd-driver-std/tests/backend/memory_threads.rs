//! Many threads at once, each in places of its own that share chunks and groups with the others'.

use std::sync::Barrier;
use std::thread;

use nbd_driver_std::backend::{Backend, Memory};

use crate::support::{KIB, MAY_HOLE, MIB, is_zero, read, stripes};

const THREADS: u64 = 8;
const ROUNDS: u64 = 20;

/// Lets each thread write, check, zero and check its own stripes one by one, over and over; in the end all data is
/// there. In between there is little at any moment, so that groups come and go under each other.
fn work(memory: &Memory, width: u64) {
    let start = Barrier::new(THREADS as usize);
    let each = |thread: u64| {
        start.wait();
        for round in 0..ROUNDS {
            for stripe in (thread..memory.size() / width).step_by(THREADS as usize) {
                memory.write(&data(stripe, round, width), stripe * width, false).unwrap();
                assert!(read(memory, stripe * width, width) == data(stripe, round, width));
                if round + 1 < ROUNDS {
                    memory.write_zeroes(stripe * width, width, MAY_HOLE).unwrap();
                    assert!(is_zero(&read(memory, stripe * width, width)));
                }
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || each(thread));
        }
    });
    for stripe in 0..memory.size() / width {
        assert!(read(memory, stripe * width, width) == data(stripe, ROUNDS - 1, width));
    }
}

fn data(stripe: u64, round: u64, width: u64) -> Vec<u8> {
    stripes(width as usize, stripe * ROUNDS + round)
}

#[test]
fn neighbours_within_a_chunk_keep_out_of_each_others_bytes() {
    work(&Memory::new(2 * MIB), 5000);
}

#[test]
fn groups_come_and_go_under_each_other() {
    let memory = Memory::new(24 * MIB);
    work(&memory, 64 * KIB);
    assert!(memory.used() >= 24 * MIB);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let memory = &memory;
            scope.spawn(move || memory.trim(thread * 3 * MIB, 3 * MIB, false).unwrap());
        }
    });
    assert_eq!(memory.used(), 0);
}
