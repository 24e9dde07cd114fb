//! Where the bytes come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;

use anyhow::{Context as _, bail};
use nbd_driver_std::Interrupter;
use nbd_proto::wire::flags::BASE_ALLOCATION;

use super::extents::Extents;
use super::file_source::FileSource;
use super::nbd_source::NbdSource;
use super::pipeline::{Geometry, Piece, Supply};
use super::place::{Identity, Place, identity_of};
use super::{CopyArgs, plan::Plan};
use crate::link;

pub(crate) enum Source {
    Nbd(NbdSource),
    File(FileSource),
    Stream(StreamSource),
}

impl Source {
    pub(crate) fn open(place: &Place, args: &CopyArgs) -> anyhow::Result<Self> {
        match place {
            Place::Null => bail!("null: is only a destination"),
            Place::Standard => {
                Ok(Self::Stream(StreamSource { name: "standard input".to_owned(), stream: Box::new(io::stdin()) }))
            }
            Place::Uri(uri) => {
                let uri = link::parse(uri)?;
                let mut options = args.options(&uri);
                if !args.no_extents {
                    options = options.meta_context(BASE_ALLOCATION);
                }
                Ok(Self::Nbd(NbdSource::new(link::connect(&options, &uri)?, &uri)))
            }
            Place::Path(path) => {
                let name = path.display().to_string();
                let file = File::open(path).with_context(|| format!("opening {name}"))?;
                let metadata = file.metadata().with_context(|| format!("looking at {name}"))?;
                let kind = metadata.file_type();
                if kind.is_dir() {
                    bail!("{name} is a directory, not a disk");
                }
                if kind.is_file() || kind.is_block_device() {
                    let identity = identity_of(&metadata);
                    return Ok(Self::File(FileSource::new(name, file, identity, args.no_extents)?));
                }
                Ok(Self::Stream(StreamSource { name, stream: Box::new(file) }))
            }
        }
    }

    /// In bytes, where that is known before the end.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Nbd(source) => Some(source.client().size()),
            Self::File(source) => Some(source.size()),
            Self::Stream(_) => None,
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::File(source) => source.identity(),
            Self::Nbd(_) | Self::Stream(_) => None,
        }
    }

    /// What wakes it while it waits for its server.
    pub(crate) fn interrupter(&self) -> Option<Interrupter> {
        match self {
            Self::Nbd(source) => Some(source.interrupter()),
            Self::File(_) | Self::Stream(_) => None,
        }
    }

    /// What requests are to be multiples of.
    pub(crate) fn block(&self) -> u64 {
        match self {
            Self::Nbd(source) => source.client().negotiated().minimum_block().into(),
            Self::File(_) | Self::Stream(_) => 1,
        }
    }

    /// The longest request.
    pub(crate) fn longest(&self) -> u64 {
        match self {
            Self::Nbd(source) => source.client().negotiated().maximum_payload().into(),
            Self::File(_) | Self::Stream(_) => u64::MAX,
        }
    }

    /// Reads everything, and hands it over.
    pub(crate) fn run(self, geometry: &Geometry, supply: &Supply) -> anyhow::Result<()> {
        match self {
            Self::Nbd(source) => source.run(geometry, supply),
            Self::File(source) => source.run(geometry, supply),
            Self::Stream(source) => source.run(geometry, supply),
        }
    }
}

/// The plan for a source whose size is known.
pub(crate) fn plan(extents: Extents, size: u64, geometry: &Geometry) -> Plan {
    Plan::new(extents, size, geometry.align, geometry.step, geometry.zero_step)
}

/// A source that tells neither its size nor its holes, and is read from start to end.
pub(crate) struct StreamSource {
    name: String,
    stream: Box<dyn Read + Send>,
}

impl StreamSource {
    fn run(mut self, geometry: &Geometry, supply: &Supply) -> anyhow::Result<()> {
        let mut offset = 0;
        while let Some(mut buffer) = supply.wait_for_buffer() {
            buffer.clear();
            let read = self.stream.by_ref().take(geometry.step).read_to_end(&mut buffer);
            let length = read.with_context(|| format!("reading {} at byte {offset}", self.name))? as u64;
            if length == 0 || !supply.hand_over(Piece::data(offset, buffer)) {
                break;
            }
            offset += length;
        }
        Ok(())
    }
}
