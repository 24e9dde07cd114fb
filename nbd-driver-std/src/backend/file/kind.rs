//! What can be served of all that has a path.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;

use rustix::fs::SeekFrom;

/// What a disk may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    RegularFile,
    BlockDevice,
}

impl Kind {
    /// Errors for what is no disk.
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        let file_type = metadata.file_type();
        let other = match () {
            () if file_type.is_file() => return Ok(Self::RegularFile),
            () if file_type.is_block_device() => return Ok(Self::BlockDevice),
            () if file_type.is_dir() => "a directory",
            () if file_type.is_fifo() => "a pipe",
            () if file_type.is_socket() => "a socket",
            () if file_type.is_char_device() => "a character device",
            () => "a file of unknown kind",
        };
        let message = format!("{other} is no disk: only regular files and block devices can be served");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// The size in bytes.
    pub(super) fn size(self, file: &File, metadata: &Metadata) -> io::Result<u64> {
        match self {
            Self::RegularFile => Ok(metadata.len()),
            // The metadata of a device tells nothing of what is in it.
            Self::BlockDevice => Ok(rustix::fs::seek(file, SeekFrom::End(0))?),
        }
    }

    /// Ranges that are to be allocated or freed start and end at multiples of this, in bytes.
    pub(super) fn granularity(self, file: &File) -> io::Result<u64> {
        match self {
            Self::RegularFile => Ok(1),
            Self::BlockDevice => Ok(u64::from(rustix::fs::ioctl_blksszget(file)?.max(1))),
        }
    }
}
