//! Zeroing and freeing ranges without writing them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use super::kind::Kind;
use crate::backend::{Failure, ZeroMode};
use crate::pieces::inward;

/// What the file system or the device can do with ranges.
#[derive(Debug)]
pub(super) struct Allocation {
    /// Frees it; it reads as zeroes.
    punch: Way,
    /// It reads as zeroes, and stays allocated or becomes so.
    zero: Way,
    /// In bytes; what ranges must be aligned to.
    granularity: u64,
    /// Whether [`zero`](Self::zero) never writes the zeroes one by one. On a block device it may.
    zero_is_fast: bool,
}

/// A mode of `fallocate`, and whether it was found not to work. It is then not tried again.
#[derive(Debug)]
struct Way {
    flags: FallocateFlags,
    unsupported: AtomicBool,
}

impl Way {
    const fn new(flags: FallocateFlags) -> Self {
        Self { flags: flags.union(FallocateFlags::KEEP_SIZE), unsupported: AtomicBool::new(false) }
    }

    /// Does it, or answers `false` where it is not supported, with nothing changed.
    fn apply(&self, file: &File, range: &Range<u64>) -> Result<bool, Failure> {
        if self.unsupported.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let length = range.end - range.start;
        match retry_on_intr(|| rustix::fs::fallocate(file, self.flags, range.start, length)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.unsupported.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

impl Allocation {
    pub(super) fn new(kind: Kind, file: &File) -> io::Result<Self> {
        Ok(Self {
            punch: Way::new(FallocateFlags::PUNCH_HOLE),
            zero: Way::new(FallocateFlags::ZERO_RANGE),
            granularity: kind.granularity(file)?,
            zero_is_fast: kind == Kind::RegularFile,
        })
    }

    /// Frees what can be freed of a range; that may be nothing.
    pub(super) fn trim(&self, file: &File, range: Range<u64>) -> Result<(), Failure> {
        let whole = inward(&range, self.granularity);
        if !whole.is_empty() {
            self.punch.apply(file, &whole)?;
        }
        Ok(())
    }

    /// Zeroes a range, or answers `false` where the zeroes must be written, with nothing changed.
    pub(super) fn zero(&self, file: &File, range: Range<u64>, mode: ZeroMode) -> Result<bool, Failure> {
        let whole = inward(&range, self.granularity);
        if whole.is_empty() {
            return Ok(false);
        }
        let may_zero = self.zero_is_fast || !mode.fast;
        let done = !mode.no_hole && self.punch.apply(file, &whole)? || may_zero && self.zero.apply(file, &whole)?;
        if !done {
            return Ok(false);
        }
        // What is left is less than a block at each end.
        for edge in [range.start..whole.start, whole.end..range.end] {
            write_zeroes(file, edge)?;
        }
        Ok(true)
    }
}

fn write_zeroes(file: &File, range: Range<u64>) -> Result<(), Failure> {
    use std::os::unix::fs::FileExt;

    let zeroes = vec![0; (range.end - range.start) as usize];
    Ok(file.write_all_at(&zeroes, range.start)?)
}
