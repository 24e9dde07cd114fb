//! What a server serves.
//!
//! | want | take |
//! |---|---|
//! | a disk in memory, of any size | [`Memory`] |
//! | a file or a block device | [`FileBackend`] |
//! | a disk that keeps nothing | [`Null`] |
//! | any of them, without writing | [`ReadOnly`] |
//! | anything else | your own [`Backend`] |
//!
//! An `Arc` or a `Box` of a backend, also of `dyn Backend`, is a backend.

mod extents;
mod failure;
mod file;
mod memory;
mod null;
mod pointers;
mod read_only;

pub use failure::Failure;
pub use file::{FileBackend, FileOptions};
pub use memory::Memory;
pub use null::Null;
pub use read_only::ReadOnly;

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::ErrorValue;

bitflags::bitflags! {
    /// What a [`Backend`] can do beyond reading.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Features: u16 {
        /// [`write`](Backend::write) works. Without it nothing below that writes is offered.
        const WRITE = 1 << 0;
        /// [`flush`](Backend::flush) means something.
        const FLUSH = 1 << 1;
        /// The argument `fua` is honoured.
        const FUA = 1 << 2;
        /// [`trim`](Backend::trim) means something.
        const TRIM = 1 << 3;
        /// [`write_zeroes`](Backend::write_zeroes) is better than writing zeroes.
        const WRITE_ZEROES = 1 << 4;
        /// [`write_zeroes`](Backend::write_zeroes) knows when it is not fast ([`ZeroMode::fast`]).
        const FAST_ZERO = 1 << 5;
        /// [`cache`](Backend::cache) means something.
        const CACHE = 1 << 6;
        /// What one connection has written and flushed, all others see.
        const MULTI_CONN = 1 << 7;
        /// Seeks are slow.
        const ROTATIONAL = 1 << 8;
        /// No call ever waits for anything but memory, so a connection's own thread may make it.
        const IMMEDIATE = 1 << 9;
    }
}

/// How zeroes are to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroMode {
    /// Answer only when the zeroes are on non-volatile storage.
    pub fua: bool,
    /// The range stays allocated, so that writing to it later cannot run out of space.
    pub no_hole: bool,
    /// Fail with `ENOTSUP`, and change nothing, rather than be as slow as a write.
    pub fast: bool,
}

/// A disk that a server can serve.
///
/// Its calls come from many threads at once. Each is within [`size`](Self::size), of at least one byte, and aligned
/// to the minimum of [`block_sizes`](Self::block_sizes); flags and commands that [`features`](Self::features) does
/// not offer never come.
pub trait Backend: Send + Sync {
    /// Size in bytes. Asked once for each connection.
    fn size(&self) -> u64;

    /// What it can do. Asked once for each connection.
    fn features(&self) -> Features;

    /// Size constraints. Default: any request from 1 byte to 32 MiB, 4096 bytes preferred.
    fn block_sizes(&self) -> BlockSizes {
        BlockSizes { minimum: 1, preferred: 4096, maximum: nbd_proto::limits::DEFAULT_MAX_PAYLOAD }
    }

    /// Fills the buffer with what is there from `offset` on.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure>;

    /// The same, if it can be done without waiting for anything but memory; `None` if not, and then the buffer may hold
    /// anything, and [`read`](Self::read) follows. A server may call this from the thread that serves the client, which
    /// spares a change of threads: worth it for what a cache may hold. Default: `None`.
    fn try_read(&self, buffer: &mut [u8], offset: u64) -> Option<Result<(), Failure>> {
        let _ = (buffer, offset);
        None
    }

    /// Writes the data from `offset` on; with `fua`, answers only when it is on non-volatile storage.
    fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure>;

    /// All writes that were answered before get to non-volatile storage.
    fn flush(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The range is no longer needed.
    fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        let _ = (offset, length, fua);
        Ok(())
    }

    /// The range reads as zeroes. Default: they are written.
    fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Failure> {
        write_zeroes_slowly(self, offset, length, mode)
    }

    /// The range will be needed soon.
    fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        let _ = (offset, length);
        Ok(())
    }

    /// The metadata contexts, `namespace:leaf`, that [`extents`](Self::extents) knows. Default: none.
    fn contexts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Appends what a context says of consecutive ranges from `offset` on. At least one, in all not necessarily as
    /// much as `length`; each a multiple of the minimum block size; not past the end. With `one`, the first will do.
    fn extents(
        &self,
        context: &str,
        offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        let _ = (context, one);
        extents.push(Descriptor { length, flags: 0 });
        let _ = offset;
        Ok(())
    }
}

fn write_zeroes_slowly<B: Backend + ?Sized>(
    backend: &B,
    offset: u64,
    length: u64,
    mode: ZeroMode,
) -> Result<(), Failure> {
    if mode.fast {
        return Err(Failure::new(ErrorValue::ENOTSUP, "zeroes are written as any other data here"));
    }
    let zeroes = vec![0; length.min(64 * 1024) as usize];
    let mut done = 0;
    while done < length {
        let count = (length - done).min(zeroes.len() as u64);
        backend.write(&zeroes[..count as usize], offset + done, mode.fua)?;
        done += count;
    }
    Ok(())
}
