//! A disk that keeps nothing.

use nbd_proto::wire::chunk::Descriptor;

use super::extents::{BASE_ALLOCATION, Extents, HOLE};
use super::{Backend, Failure, Features, ZeroMode};

/// A disk that reads as zeroes, and takes and forgets what is written.
///
/// It shows what the rest of a server costs. To the context `base:allocation` it is one hole.
#[derive(Clone, Copy, Debug)]
pub struct Null {
    size: u64,
}

impl Null {
    /// A disk of so many bytes. Clients commonly take no more than 2⁶³ - 1.
    pub const fn new(size: u64) -> Self {
        Self { size }
    }
}

impl Backend for Null {
    fn size(&self) -> u64 {
        self.size
    }

    fn features(&self) -> Features {
        Features::all() - Features::ROTATIONAL
    }

    fn read(&self, buffer: &mut [u8], _offset: u64) -> Result<(), Failure> {
        buffer.fill(0);
        Ok(())
    }

    fn write(&self, _data: &[u8], _offset: u64, _fua: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _length: u64, _mode: ZeroMode) -> Result<(), Failure> {
        Ok(())
    }

    fn contexts(&self) -> Vec<String> {
        vec![BASE_ALLOCATION.into()]
    }

    fn extents(
        &self,
        _context: &str,
        _offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        let _ = Extents::new(extents, one).push(length, HOLE);
        Ok(())
    }
}
