//! Requests at the end of the export, and past it (spec, *Error values*).

use nbd_proto::wire::number::CommandType;

use crate::setup::{STYLES, Setup};
use crate::verdict::asked;

const SIZE: u64 = 10_000;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

/// The commands with a range, and their error where it is out of bounds.
const COMMANDS: [(CommandType, u32); 5] = [
    (CommandType::READ, EINVAL),
    (CommandType::WRITE, ENOSPC),
    (CommandType::TRIM, EINVAL),
    (CommandType::CACHE, EINVAL),
    (CommandType::WRITE_ZEROES, ENOSPC),
];

#[test]
fn a_request_may_end_where_the_export_does_and_no_further() {
    for setup in STYLES.map(|style| Setup::new(style).with_size(SIZE)) {
        for (command, error) in COMMANDS {
            for (offset, length) in [(0, SIZE), (SIZE - 1, 1), (SIZE - 100, 100)] {
                asked(command, offset, length).expect(&setup, None);
                asked(command, offset + 1, length).expect(&setup, Some(error));
                asked(command, offset, length + 1).expect(&setup, Some(error));
            }
        }
    }
}

#[test]
fn a_range_that_does_not_fit_64_bits_is_out_of_bounds() {
    for setup in STYLES.map(|style| Setup::new(style).with_size(SIZE)) {
        for (command, error) in COMMANDS {
            for (offset, length) in [(u64::MAX, 1), (u64::MAX, 2), (u64::MAX - 9, 10), (u64::MAX - 9, 11), (SIZE, 1)] {
                asked(command, offset, length).expect(&setup, Some(error));
            }
        }
    }
}

#[test]
fn an_export_of_64_bits_has_no_place_behind_it() {
    for setup in STYLES.map(|style| Setup::new(style).with_size(u64::MAX)) {
        for (command, error) in COMMANDS {
            asked(command, u64::MAX - 10, 10).expect(&setup, None);
            asked(command, u64::MAX - 9, 10).expect(&setup, Some(error));
        }
    }
}

#[test]
fn an_empty_export_has_nothing_to_read() {
    for setup in STYLES.map(|style| Setup::new(style).with_size(0)) {
        for (command, error) in COMMANDS {
            asked(command, 0, 1).expect(&setup, Some(error));
            asked(command, 0, 0).expect(&setup, Some(0));
        }
    }
}
