//! Zeroes that are to be fast or not at all.

use nbd_driver_std::backend::{Backend, ZeroMode};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;
use rustix::fs::FallocateFlags;

use crate::support::{KIB, MIB, NO_HOLE, can, directories, is_zero, open, read, sparse_file};

#[test]
fn they_are_fast_where_the_file_system_helps_and_else_change_nothing() {
    for directory in directories() {
        let (punch, zero) = (can(&directory, FallocateFlags::PUNCH_HOLE), can(&directory, FallocateFlags::ZERO_RANGE));
        for no_hole in [false, true] {
            let file = sparse_file(&directory, MIB);
            let backend = open(file.path());
            backend.write(&vec![1; MIB as usize], 0, false).unwrap();
            // Twice: what was found not to work is remembered.
            for offset in [1000, 300_000] {
                let result = backend.write_zeroes(offset, 200 * KIB, ZeroMode { fua: false, no_hole, fast: true });
                if zero || punch && !no_hole {
                    result.unwrap();
                    assert!(is_zero(&read(&backend, offset, 200 * KIB)));
                } else {
                    assert_eq!(result.unwrap_err().error, ErrorValue::ENOTSUP);
                    assert!(read(&backend, 0, MIB).iter().all(|byte| *byte == 1));
                }
            }
            backend.write_zeroes(500 * KIB, 200 * KIB, NO_HOLE).unwrap();
            assert!(is_zero(&read(&backend, 500 * KIB, 200 * KIB)), "slow is always possible");
            assert_eq!(read(&backend, 999, 1), [1]);
            assert_eq!(read(&backend, 700 * KIB, 1), [1]);
        }
    }
}
