//! What points to a backend is one.

use std::sync::Arc;

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::info::BlockSizes;

use super::{Backend, Failure, Features, ZeroMode};

/// Hands each call on, also those that have a default: the pointee may have its own.
macro_rules! forward {
    ($pointer:ty) => {
        impl<B: Backend + ?Sized> Backend for $pointer {
            fn size(&self) -> u64 {
                (**self).size()
            }

            fn features(&self) -> Features {
                (**self).features()
            }

            fn block_sizes(&self) -> BlockSizes {
                (**self).block_sizes()
            }

            fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
                (**self).read(buffer, offset)
            }

            fn try_read(&self, buffer: &mut [u8], offset: u64) -> Option<Result<(), Failure>> {
                (**self).try_read(buffer, offset)
            }

            fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure> {
                (**self).write(data, offset, fua)
            }

            fn flush(&self) -> Result<(), Failure> {
                (**self).flush()
            }

            fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
                (**self).trim(offset, length, fua)
            }

            fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Failure> {
                (**self).write_zeroes(offset, length, mode)
            }

            fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
                (**self).cache(offset, length)
            }

            fn contexts(&self) -> Vec<String> {
                (**self).contexts()
            }

            fn extents(
                &self,
                context: &str,
                offset: u64,
                length: u64,
                one: bool,
                extents: &mut Vec<Descriptor>,
            ) -> Result<(), Failure> {
                (**self).extents(context, offset, length, one, extents)
            }
        }
    };
}

forward!(&B);
forward!(Arc<B>);
forward!(Box<B>);
