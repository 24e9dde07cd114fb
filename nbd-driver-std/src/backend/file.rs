//! A regular file or a block device.

mod allocation;
mod kind;
mod map;
mod syncs;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::ErrorValue;
use rustix::fs::Advice;
use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};

use self::allocation::Allocation;
use self::kind::Kind;
use self::syncs::Syncs;
use super::extents::BASE_ALLOCATION;
use super::{Backend, Failure, Features, ZeroMode};

/// How a [`FileBackend`] is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// It offers nothing that writes, and needs no permission to write.
    pub read_only: bool,
}

/// A regular file or a block device as a disk.
///
/// The size is what it is when opened. A file that others make shorter fails reads with `EIO` where it ends; writing
/// there makes it longer again.
///
/// `base:allocation` tells what the file system tells (`SEEK_DATA`, `SEEK_HOLE`). Some, ext4 among them, call space
/// a hole that is allocated but was not written since, as after zeroes with
/// [`no_hole`](ZeroMode::no_hole). Block devices know no extents, so they have no context.
///
/// Past a limit on file sizes (`RLIMIT_FSIZE`) the system sends `SIGXFSZ`, which ends a process that does nothing about
/// it; with a handler, or with the signal ignored, the write fails with `ENOSPC`.
///
/// Writes go through the system's page cache, and [`flush`](Backend::flush) and `fua` are `fdatasync`. When that
/// fails, the system may have dropped data of any connection and tells it once. So from then on each flush and
/// each `fua` fails in the same way, until the file is opened anew.
#[derive(Debug)]
pub struct FileBackend {
    file: File,
    size: u64,
    kind: Kind,
    read_only: bool,
    allocation: Allocation,
    syncs: Syncs,
}

impl FileBackend {
    /// Opens a regular file or a block device; symbolic links are followed. The file must be there.
    ///
    /// Errors are those of the system, such as no permission to write where that was not given up by
    /// [`read_only`](FileOptions::read_only), and `InvalidInput` for anything that is no disk: a directory, a socket,
    /// a pipe, a character device.
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> io::Result<Self> {
        let path = path.as_ref();
        // Asked before, too: to open a pipe would wait for its other end, and a device may act upon it.
        Kind::of(&std::fs::metadata(path)?)?;
        let file = OpenOptions::new().read(true).write(!options.read_only).open(path)?;
        let metadata = file.metadata()?;
        let kind = Kind::of(&metadata)?;
        let size = kind.size(&file, &metadata)?;
        let allocation = Allocation::new(kind, &file)?;
        Ok(Self { file, size, kind, read_only: options.read_only, allocation, syncs: Syncs::default() })
    }

    fn may_write(&self) -> Result<(), Failure> {
        if self.read_only { Err(super::read_only::refusal()) } else { Ok(()) }
    }

    /// Makes a file longer that others have made shorter, for zeroes that were not written.
    fn reach(&self, end: u64) -> Result<(), Failure> {
        if self.kind == Kind::RegularFile && self.file.metadata()?.len() < end {
            // Never a new length, which could cut off what is being written behind it.
            self.file.write_all_at(&[0], end - 1)?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        self.syncs.run(|| Ok(retry_on_intr(|| rustix::fs::fdatasync(&self.file))?))
    }

    fn sync_if(&self, fua: bool) -> Result<(), Failure> {
        if fua { self.sync() } else { Ok(()) }
    }
}

/// What a read is told where there was a file once.
fn shorter(offset: u64) -> Failure {
    Failure::new(ErrorValue::EIO, "the file has become shorter").at(offset)
}

impl Backend for FileBackend {
    fn size(&self) -> u64 {
        self.size
    }

    fn features(&self) -> Features {
        // Whoever reads sees the page cache that everyone writes to.
        let reading = Features::CACHE | Features::MULTI_CONN;
        if self.read_only {
            return reading;
        }
        let writing = Features::WRITE | Features::FLUSH | Features::FUA;
        reading | writing | Features::TRIM | Features::WRITE_ZEROES | Features::FAST_ZERO
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            match self.file.read_at(&mut buffer[done..], at) {
                Ok(0) => return Err(shorter(at)),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::from(error).at(at)),
            }
        }
        Ok(())
    }

    fn try_read(&self, buffer: &mut [u8], offset: u64) -> Option<Result<(), Failure>> {
        // What the page cache holds. A part of it, an error, or a system that cannot tell: all that is for `read`.
        let read = preadv2(&self.file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT);
        (read == Ok(buffer.len())).then_some(Ok(()))
    }

    fn write(&self, data: &[u8], offset: u64, fua: bool) -> Result<(), Failure> {
        self.may_write()?;
        self.file.write_all_at(data, offset)?;
        self.sync_if(fua)
    }

    fn flush(&self) -> Result<(), Failure> {
        self.sync()
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> Result<(), Failure> {
        self.may_write()?;
        self.allocation.trim(&self.file, offset..offset + length)?;
        self.sync_if(fua)
    }

    fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Failure> {
        self.may_write()?;
        if self.allocation.zero(&self.file, offset..offset + length, mode)? {
            self.reach(offset + length)?;
        } else {
            // One sync behind all of them is enough.
            super::write_zeroes_slowly(self, offset, length, ZeroMode { fua: false, ..mode })?;
        }
        self.sync_if(mode.fua)
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), Failure> {
        rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(length), Advice::WillNeed).map_err(io::Error::from)?;
        Ok(())
    }

    fn contexts(&self) -> Vec<String> {
        match self.kind {
            Kind::RegularFile => vec![BASE_ALLOCATION.into()],
            Kind::BlockDevice => Vec::new(),
        }
    }

    fn extents(
        &self,
        _context: &str,
        offset: u64,
        length: u64,
        one: bool,
        extents: &mut Vec<Descriptor>,
    ) -> Result<(), Failure> {
        map::extents(&self.file, offset..offset + length, one, extents)
    }
}
