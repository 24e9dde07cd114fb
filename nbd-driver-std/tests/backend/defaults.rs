//! What a backend gets that says no more than it must.

use std::sync::Mutex;

use nbd_driver_std::backend::{Backend, Failure, Features, ZeroMode};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;

use crate::support::{DATA, NO_HOLE, extents, is_zero};

/// Notes its writes: offset, length, `fua`.
#[derive(Default)]
struct Least(Mutex<Vec<(u64, usize, bool)>>);

impl Backend for Least {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn features(&self) -> Features {
        Features::WRITE
    }

    fn read(&self, _buffer: &mut [u8], _offset: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure> {
        assert!(is_zero(data));
        self.0.lock().unwrap().push((offset, data.len(), fua));
        Ok(())
    }
}

/// `fua` answers for the data of its own write, and for no other's.
#[test]
fn zeroes_are_written_in_pieces_and_each_is_as_safe_as_asked() {
    for fua in [false, true] {
        let least = Least::default();
        least.write_zeroes(10, 150_000, ZeroMode { fua, ..NO_HOLE }).unwrap();
        let pieces = [(10, 65_536, fua), (65_546, 65_536, fua), (131_082, 18_928, fua)];
        assert_eq!(*least.0.lock().unwrap(), pieces);
    }
}

#[test]
fn zeroes_are_never_fast() {
    let least = Least::default();
    let failure = least.write_zeroes(0, 10, ZeroMode { fast: true, ..NO_HOLE }).unwrap_err();
    assert_eq!(failure.error, ErrorValue::ENOTSUP);
    assert!(least.0.lock().unwrap().is_empty());
}

#[test]
fn everything_is_data_and_the_rest_does_nothing() {
    let least = Least::default();
    assert!(least.contexts().is_empty());
    assert_eq!(extents(&least, 5, 100, false), [(100, DATA)]);
    least.flush().unwrap();
    least.trim(0, 1, true).unwrap();
    least.cache(0, 1).unwrap();
    assert!(least.block_sizes().keeps_the_specification());
}
