//! A file or block device as a source.

use std::fs::File;
use std::io::{ErrorKind, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::extents;
use super::pipeline::{Geometry, Piece, Supply};
use super::place::Identity;
use super::source::plan;

pub(crate) struct FileSource {
    name: String,
    file: Arc<File>,
    size: u64,
    identity: Option<Identity>,
    no_extents: bool,
}

impl FileSource {
    pub(crate) fn new(
        name: String,
        mut file: File,
        identity: Option<Identity>,
        no_extents: bool,
    ) -> anyhow::Result<Self> {
        // Unlike the metadata, this knows the size of a block device.
        let size = file.seek(SeekFrom::End(0)).with_context(|| format!("asking for the size of {name}"))?;
        Ok(Self { name, file: Arc::new(file), size, identity, no_extents })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    pub(crate) fn run(self, geometry: &Geometry, supply: &Supply) -> anyhow::Result<()> {
        let extents = if self.no_extents { extents::unknown() } else { extents::of_file(self.file.clone(), self.size) };
        for span in plan(extents, self.size, geometry) {
            let span = span?;
            let Some(mut buffer) = supply.wait_for_buffer() else { break };
            let offset = span.range.start;
            let length = span.range.end - offset;
            let piece = if span.zero {
                Piece::zeroes(offset, length, buffer)
            } else {
                buffer.resize(length as usize, 0);
                match self.file.read_exact_at(&mut buffer, offset) {
                    Ok(()) => Piece::data(offset, buffer),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        bail!("{} has become shorter than the {} bytes it had", self.name, self.size);
                    }
                    Err(error) => {
                        return Err(error).with_context(|| format!("reading {} at byte {offset}", self.name));
                    }
                }
            };
            if !supply.hand_over(piece) {
                break;
            }
        }
        Ok(())
    }
}
