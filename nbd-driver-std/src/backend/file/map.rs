//! Where a file has data and where it has holes.

use std::fs::File;
use std::io;
use std::ops::Range;

use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::AllocationFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::backend::Failure;
use crate::backend::extents::{Extents, HOLE};

/// Appends the extents of a range.
///
/// Seeking moves the file's offset, which all threads share; nothing uses it.
pub(super) fn extents(file: &File, range: Range<u64>, one: bool, answer: &mut Vec<Descriptor>) -> Result<(), Failure> {
    let mut extents = Extents::new(answer, one);
    let mut at = range.start;
    while at < range.end {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(range.end),
            // No data behind: a hole up to the end, unless the file ends before.
            Err(Errno::NXIO) => {
                let length = file.metadata()?.len();
                if length < range.end {
                    return Err(super::shorter(length.max(at)));
                }
                range.end
            }
            // This file system does not know.
            Err(Errno::INVAL) => at,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if !extents.push(data - at, HOLE) || data == range.end {
            break;
        }
        let hole = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
            Ok(hole) => hole.min(range.end),
            Err(Errno::INVAL) => range.end,
            Err(Errno::NXIO) => return Err(super::shorter(data)),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        if !extents.push(hole - data, AllocationFlags::empty()) {
            break;
        }
        at = hole;
    }
    Ok(())
}
