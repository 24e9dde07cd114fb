//! A file or block device as a destination.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, bail};
use rustix::fs::{FallocateFlags, fallocate};

use super::destination::ZeroPolicy;
use super::pipeline::{Intake, Piece};
use super::zeroes::runs;

static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

pub(crate) struct FileSink {
    name: String,
    file: File,
    /// Of a device; a file grows.
    limit: Option<u64>,
    /// Whether all that was not written reads as zeroes.
    fresh: bool,
    zeroes: ZeroPolicy,
    flush: bool,
}

impl FileSink {
    /// An empty file.
    pub(crate) fn new_file(
        name: String,
        file: File,
        size: Option<u64>,
        zeroes: ZeroPolicy,
        flush: bool,
    ) -> anyhow::Result<Self> {
        if let Some(size) = size {
            if i64::try_from(size).is_err() {
                bail!("making {name} {size} bytes long: no file can be as long as that");
            }
            file.set_len(size).with_context(|| format!("making {name} {size} bytes long"))?;
        }
        Ok(Self { name, file, limit: None, fresh: true, zeroes, flush })
    }

    pub(crate) fn device(name: String, mut file: File, zeroes: ZeroPolicy, flush: bool) -> anyhow::Result<Self> {
        let size = file.seek(SeekFrom::End(0)).with_context(|| format!("asking for the size of {name}"))?;
        Ok(Self { name, file, limit: Some(size), fresh: false, zeroes, flush })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Room for this many bytes.
    pub(crate) fn size(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    pub(crate) fn skips_zeroes(&self) -> bool {
        (self.fresh || self.zeroes.skip) && !self.zeroes.allocate
    }

    pub(crate) fn run(self, intake: &Intake) -> anyhow::Result<()> {
        let mut end = 0;
        while let Some(piece) = intake.wait() {
            end = end.max(piece.offset + piece.length);
            if end > self.size() {
                bail!("{}: the source does not end, but the destination does, after {} bytes", self.name, self.size());
            }
            self.write(&piece).with_context(|| format!("writing to {} at byte {}", self.name, piece.offset))?;
            intake.finished(piece.length, piece.buffer);
        }
        if self.limit.is_none() {
            // Zeroes at the end of a stream were not written, but they count.
            self.file.set_len(end).with_context(|| format!("making {} {end} bytes long", self.name))?;
        }
        if self.flush {
            self.file.sync_all().with_context(|| format!("flushing {}", self.name))?;
        }
        Ok(())
    }

    fn write(&self, piece: &Piece) -> std::io::Result<()> {
        if piece.zero {
            return self.zero(piece.offset, piece.length);
        }
        for run in runs(&piece.buffer, piece.offset, self.zeroes.grain) {
            let at = piece.offset + run.range.start as u64;
            if run.zero {
                self.zero(at, run.range.len() as u64)?;
            } else {
                self.file.write_all_at(&piece.buffer[run.range], at)?;
            }
        }
        Ok(())
    }

    fn zero(&self, offset: u64, length: u64) -> std::io::Result<()> {
        if self.skips_zeroes() {
            return Ok(());
        }
        // In the order of preference; what a file system or device cannot do, it refuses.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let ways: &[FallocateFlags] = match (self.fresh, self.zeroes.allocate) {
            (true, _) => &[FallocateFlags::empty()],
            (false, true) => &[FallocateFlags::ZERO_RANGE],
            (false, false) => &[hole, FallocateFlags::ZERO_RANGE],
        };
        if ways.iter().any(|&way| fallocate(&self.file, way, offset, length).is_ok()) {
            return Ok(());
        }
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let length = (end - at).min(ZEROES.len() as u64);
            self.file.write_all_at(&ZEROES[..length as usize], at)?;
            at += length;
        }
        Ok(())
    }
}
