//! Where the bytes go.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use nbd_driver_std::Interrupter;

use super::file_sink::FileSink;
use super::nbd_sink::NbdSink;
use super::pipeline::Intake;
use super::place::Place;
use super::stream_sink::StreamSink;
use super::{CopyArgs, GRAIN, ZERO_STEP};
use crate::{link, output};

pub(crate) enum Destination {
    Nbd(Box<NbdSink>),
    File(FileSink),
    Stream(StreamSink),
    Null,
}

/// What the user wants done with zeroes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZeroPolicy {
    /// They are there already.
    pub(crate) skip: bool,
    /// They are to take up room.
    pub(crate) allocate: bool,
    /// From how many in a row they are looked for in data.
    pub(crate) grain: Option<u64>,
}

impl ZeroPolicy {
    fn new(args: &CopyArgs, preferred: u64) -> Self {
        let grain = match args.sparse {
            _ if args.allocated => None,
            Some(0) => None,
            Some(grain) => Some(grain),
            None => Some(GRAIN.max(preferred)),
        };
        Self { skip: args.destination_is_zero && !args.allocated, allocate: args.allocated, grain }
    }
}

impl Destination {
    /// `size`: of the source, if that is known. Nothing is written yet, but a file that exists is emptied.
    pub(crate) fn open(place: &Place, size: Option<u64>, args: &CopyArgs) -> anyhow::Result<Self> {
        match place {
            Place::Null => Ok(Self::Null),
            Place::Standard => Ok(Self::Stream(StreamSink::new(output::NAME.to_owned(), Box::new(output::open()?)))),
            Place::Uri(uri) => {
                let uri = link::parse(uri)?;
                let client = link::connect(&args.options(&uri), &uri)?;
                if client.is_read_only() {
                    bail!("{uri}: the export is read-only, so nothing can be copied to it; nothing was written");
                }
                large_enough(&uri.to_string(), client.size(), size)?;
                let preferred = client.negotiated().info.block_sizes.map_or(0, |sizes| sizes.preferred.into());
                let zeroes = ZeroPolicy::new(args, preferred);
                Ok(Self::Nbd(Box::new(NbdSink::new(client, uri.to_string(), zeroes, args.flushes()))))
            }
            Place::Path(path) => open_path(path, size, args),
        }
    }

    /// What wakes it while it waits for its server.
    pub(crate) fn interrupter(&self) -> Option<Interrupter> {
        match self {
            Self::Nbd(sink) => Some(sink.interrupter()),
            Self::File(_) | Self::Stream(_) | Self::Null => None,
        }
    }

    /// What requests are to be multiples of.
    pub(crate) fn block(&self) -> u64 {
        match self {
            Self::Nbd(sink) => sink.client().negotiated().minimum_block().into(),
            Self::File(_) | Self::Stream(_) | Self::Null => 1,
        }
    }

    /// The longest request.
    pub(crate) fn longest(&self) -> u64 {
        match self {
            Self::Nbd(sink) => sink.client().negotiated().maximum_payload().into(),
            Self::File(_) | Self::Stream(_) | Self::Null => u64::MAX,
        }
    }

    /// The longest run of zeroes that is worth one piece, where pieces of data have `step` bytes.
    pub(crate) fn zero_step(&self, step: u64) -> u64 {
        let for_free = match self {
            Self::Nbd(sink) => sink.skips_zeroes(),
            Self::File(sink) => sink.skips_zeroes(),
            Self::Stream(_) => false,
            Self::Null => true,
        };
        match self {
            _ if for_free => u64::MAX,
            Self::Nbd(sink) if !sink.makes_zeroes() => step,
            _ => ZERO_STEP.max(self.block()),
        }
    }

    /// Writes everything that is handed over.
    pub(crate) fn run(self, intake: &Intake) -> anyhow::Result<()> {
        match self {
            Self::Nbd(sink) => sink.run(intake),
            Self::File(sink) => sink.run(intake),
            Self::Stream(sink) => sink.run(intake),
            Self::Null => {
                while let Some(piece) = intake.wait() {
                    intake.finished(piece.length, piece.buffer);
                }
                Ok(())
            }
        }
    }
}

fn open_path(path: &Path, size: Option<u64>, args: &CopyArgs) -> anyhow::Result<Destination> {
    let name = path.display().to_string();
    let kind = match path.metadata() {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("looking at {name}")),
    };
    let opening = || format!("opening {name} for writing");
    let zeroes = ZeroPolicy::new(args, 0);
    match kind {
        Some(kind) if kind.is_dir() => bail!("{name} is a directory; give the name of a file in it"),
        Some(kind) if kind.is_block_device() => {
            let file = File::options().write(true).open(path).with_context(opening)?;
            let sink = FileSink::device(name, file, zeroes, args.flushes())?;
            large_enough(sink.name(), sink.size(), size)?;
            Ok(Destination::File(sink))
        }
        Some(kind) if !kind.is_file() => {
            let file = File::options().write(true).open(path).with_context(opening)?;
            Ok(Destination::Stream(StreamSink::new(name, Box::new(file))))
        }
        Some(_) | None => {
            let file = File::options().write(true).create(true).truncate(true).open(path).with_context(opening)?;
            Ok(Destination::File(FileSink::new_file(name, file, size, zeroes, args.flushes())?))
        }
    }
}

fn large_enough(name: &str, room: u64, size: Option<u64>) -> anyhow::Result<()> {
    match size {
        Some(size) if size > room => {
            bail!("{name}: has room for {room} bytes, but the source has {size}; nothing was written")
        }
        _ => Ok(()),
    }
}
