//! Where a source has data, and where it reads as zeroes.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use nbd_driver_std::{Client, Error};
use nbd_proto::wire::flags::{AllocationFlags, BASE_ALLOCATION};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How much of an export is asked about at first. One reply may bring an extent for every few bytes, and all of
/// them are held.
const WINDOW: u64 = 128 << 20;

/// The most extents that are held. In a window there are fewer, unless the server's are smaller than any file
/// system's; then what is left over is asked for again.
const MAX_EXTENTS: usize = 65_536;

/// A map is worth its questions while its extents are this long on average: "The server SHOULD use descriptor lengths
/// that are an integer multiple of 512 bytes" (spec, `NBD_CMD_BLOCK_STATUS`).
const WORTH_ASKING: u64 = 512;

/// So many extents are looked at before the average counts.
const SAMPLE: u64 = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) range: Range<u64>,
    pub(crate) zero: bool,
}

/// Extents in order, without gaps. Where they end before the disk does, the rest is data.
pub(crate) type Extents = Box<dyn Iterator<Item = anyhow::Result<Extent>> + Send>;

/// Of a source that knows nothing of the kind: all is data.
pub(crate) fn unknown() -> Extents {
    Box::new(std::iter::empty())
}

/// Of an export: asked piece by piece, as they are needed.
pub(crate) fn of_export(client: Client) -> Extents {
    Box::new(OfExport { client, at: 0, window: WINDOW, found: Vec::new().into_iter() })
}

struct OfExport {
    client: Client,
    at: u64,
    window: u64,
    found: std::vec::IntoIter<Extent>,
}

impl OfExport {
    fn ask(&mut self) -> Result<(), Error> {
        let mut end = self.client.size().min(self.at.saturating_add(self.window));
        let mut found: Vec<Extent> = Vec::new();
        let mut looked_at = 0;
        for extent in self.client.block_status(BASE_ALLOCATION, self.at..end)? {
            let extent = extent?;
            let zero = AllocationFlags::from_bits_retain(extent.flags).contains(AllocationFlags::ZERO);
            let range = extent.offset..extent.offset + extent.length;
            let full = found.len() >= MAX_EXTENTS;
            match found.last_mut() {
                Some(last) if last.zero == zero => last.range.end = range.end,
                _ if full => {
                    end = range.start;
                    break;
                }
                _ => found.push(Extent { range: range.clone(), zero }),
            }
            looked_at += 1;
            if looked_at >= SAMPLE && (range.end - self.at) / looked_at < WORTH_ASKING {
                // A server that gets on by a few bytes at a time would be asked for ever: the rest is read.
                tracing::warn!("the extents are too short to be of use; the rest is read");
                end = self.client.size();
                break;
            }
        }
        // Vast and simple disks are asked about in ever larger steps.
        self.window = if found.len() <= 1 { self.window.saturating_mul(2) } else { WINDOW };
        self.at = end;
        self.found = found.into_iter();
        Ok(())
    }
}

impl Iterator for OfExport {
    type Item = anyhow::Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.found.next() {
                return Some(Ok(extent));
            }
            if self.at == self.client.size() {
                return None;
            }
            match self.ask() {
                Ok(()) => {}
                Err(error) if is_fatal(&error) => return Some(Err(error.into())),
                Err(error) => {
                    // The map is a help, not a need: what the server cannot tell is read.
                    tracing::warn!(%error, "asking for extents; the rest is read");
                    self.at = self.client.size();
                }
            }
        }
    }
}

/// Whether the connection is over.
fn is_fatal(error: &Error) -> bool {
    matches!(
        error,
        Error::Connection(_)
            | Error::Io { .. }
            | Error::Timeout { .. }
            | Error::NotRestored { .. }
            | Error::Changed(_)
            | Error::Broken(_)
    )
}

/// Of a file, as far as its file system tells.
pub(crate) fn of_file(file: Arc<File>, size: u64) -> Extents {
    Box::new(OfFile { file, size, at: 0, data: None })
}

struct OfFile {
    file: Arc<File>,
    size: u64,
    at: u64,
    /// Data that was found behind the zeroes just told.
    data: Option<Range<u64>>,
}

impl OfFile {
    /// The next data at or behind `at`.
    fn find_data(&self) -> rustix::io::Result<Range<u64>> {
        let start = match seek(&*self.file, SeekFrom::Data(self.at)) {
            Ok(start) => start.min(self.size),
            Err(Errno::NXIO) => return Ok(self.size..self.size),
            Err(error) => return Err(error),
        };
        let end = seek(&*self.file, SeekFrom::Hole(start))?.min(self.size);
        Ok(start..end)
    }
}

impl Iterator for OfFile {
    type Item = anyhow::Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(data) = self.data.take() {
            self.at = data.end;
            return Some(Ok(Extent { range: data, zero: false }));
        }
        if self.at >= self.size {
            return None;
        }
        match self.find_data() {
            Ok(data) => {
                let hole = self.at..data.start;
                self.data = Some(data).filter(|data| !data.is_empty());
                self.at = hole.end;
                if hole.is_empty() { self.next() } else { Some(Ok(Extent { range: hole, zero: true })) }
            }
            // Not every file system knows its holes.
            Err(error) => {
                tracing::debug!(%error, "looking for holes; the rest is read");
                self.at = self.size;
                None
            }
        }
    }
}
