//! A view of a disk through which nobody writes.

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::ErrorValue;

use super::{Backend, Failure, Features, ZeroMode};

/// Any backend, without writing: it offers nothing that writes, and refuses it all the same with `EPERM` ("on a
/// read-only export", spec, *Error values*).
#[derive(Clone, Copy, Debug)]
pub struct ReadOnly<B>(B);

impl<B> ReadOnly<B> {
    /// What of a backend's features is left.
    const LEFT: Features =
        Features::CACHE.union(Features::MULTI_CONN).union(Features::ROTATIONAL).union(Features::IMMEDIATE);

    /// A view of a backend.
    pub const fn new(backend: B) -> Self {
        Self(backend)
    }

    /// The backend itself.
    pub fn into_inner(self) -> B {
        self.0
    }
}

/// What a write is told.
pub(super) fn refusal() -> Failure {
    Failure::new(ErrorValue::EPERM, "this export is read-only")
}

impl<B: Backend> Backend for ReadOnly<B> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn features(&self) -> Features {
        self.0.features() & Self::LEFT
    }

    fn block_sizes(&self) -> BlockSizes {
        self.0.block_sizes()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        self.0.read(buffer, offset)
    }

    fn try_read(&self, buffer: &mut [u8], offset: u64) -> Option<Result<(), Failure>> {
        self.0.try_read(buffer, offset)
    }

    fn write(&self, _data: &[u8], _offset: u64, _fua: bool) -> Result<(), Failure> {
        Err(refusal())
    }

    fn trim(&self, _offset: u64, _length: u64, _fua: bool) -> Result<(), Failure> {
        Err(refusal())
    }

    fn write_zeroes(&self, _offset: u64, _length: u64, _mode: ZeroMode) -> Result<(), Failure> {
        Err(refusal())
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        self.0.cache(offset, length)
    }

    fn contexts(&self) -> Vec<String> {
        self.0.contexts()
    }

    fn extents(
        &self,
        context: &str,
        offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        self.0.extents(context, offset, length, one, extents)
    }
}
