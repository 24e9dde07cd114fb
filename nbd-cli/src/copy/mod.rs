//! `nbd copy`: a disk from one place to another.

mod destination;
mod extents;
mod file_sink;
mod file_source;
mod nbd_sink;
mod nbd_source;
mod pipeline;
mod place;
mod plan;
mod progress;
mod size;
mod source;
mod stream_sink;
mod zeroes;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use nbd_driver_std::{ConnectOptions, Unaligned};
use nbd_proto::uri::NbdUri;

use crate::link::{self, LinkArgs};
use destination::Destination;
use pipeline::Geometry;
use place::Place;
use progress::Wanted;
use source::Source;

/// Holes are looked for, and data is moved, in multiples of this many bytes: less is not worth a request.
const GRAIN: u64 = 4096;

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 32 << 20;

/// The most zeroes that are asked for in one request.
const ZERO_STEP: u64 = 128 << 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CopyArgs {
    /// What to copy: an NBD URI, a file, a block device, or - for standard input
    source: Place,

    /// Where to: an NBD URI, a file, a block device, - for standard output, or null: for nowhere
    ///
    /// A file is created, or emptied first. A device or an export has to be large enough.
    destination: Place,

    /// Leave no holes in the destination: zeroes are allocated too
    #[arg(long)]
    allocated: bool,

    /// Rely on the destination being all zeroes already, and do not write any
    #[arg(long, alias = "target-is-zero")]
    destination_is_zero: bool,

    /// Before the end, have everything written to permanent storage
    #[arg(long)]
    flush: bool,

    /// Do not ask the source where its holes are, but read everything
    #[arg(long)]
    no_extents: bool,

    /// Show a progress bar, or write lines such as 42/100 to the file descriptor FD
    ///
    /// Without this option there is a bar if standard error is a terminal. With it, but without FD and terminal,
    /// the lines go to standard error.
    #[arg(
        short,
        long,
        value_name = "FD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "bar",
        overrides_with = "quiet"
    )]
    progress: Option<Wanted>,

    /// Show no progress bar
    #[arg(short, long, visible_alias = "no-progress", overrides_with = "progress")]
    quiet: bool,

    /// The most bytes in flight, and so in memory
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = size::positive)]
    queue_size: u64,

    /// The most bytes in one request: a power of two from 4k to 32M
    #[arg(long, value_name = "BYTES", default_value = "256k", value_parser = size::request)]
    request_size: u64,

    /// The most requests in flight on a connection
    #[arg(short = 'R', long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    requests: u32,

    /// Go on when the connection to a server is lost: connect anew, for up to SECONDS (60 if none are given)
    ///
    /// What was under way is sent again, and so is what was written but not flushed yet. The export has to be the same
    /// as before. The destination is flushed at the end, as with --flush.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "60",
        value_parser = crate::link::seconds
    )]
    retry: Option<Duration>,

    /// Turn runs of this many zero bytes into holes: a power of two from 512; 0 for never
    ///
    /// The default is 4k, or the destination's preferred block size if that is larger.
    #[arg(short = 'S', long, value_name = "BYTES", value_parser = size::sparse)]
    sparse: Option<u64>,

    /// Have only one request in flight, so that all is read and written in order
    #[arg(long)]
    synchronous: bool,

    #[command(flatten)]
    link: LinkArgs,
}

const EXAMPLES: &str = "Sizes may have a suffix: k, M, G, T.

Examples:
  nbd copy nbd://server/disk disk.img
  nbd copy disk.img nbd://server/disk
  nbd copy nbd://server1/disk nbd://server2/disk
  nbd copy nbd://server/disk - | gzip > disk.gz
  zcat disk.gz | nbd copy - 'nbd+unix:///disk?socket=/run/nbd.sock'
  nbd copy nbd://server/disk null:";

impl CopyArgs {
    /// How servers are reached.
    fn options(&self, uri: &NbdUri) -> ConnectOptions {
        let policy = self.retry.map(|time| link::reconnect(time, uri));
        let options = self.link.options(None).reconnect(policy).max_in_flight(self.max_in_flight());
        // Blocks at the end of a disk; and in a source, extents that are cut within a block.
        options.unaligned(Unaligned::Pad)
    }

    /// Whether the destination is to be flushed at the end. Without it nobody would know what a server that was lost
    /// has kept.
    const fn flushes(&self) -> bool {
        self.flush || self.retry.is_some()
    }

    /// How many requests of this size each side may have in flight, which is also how many buffers there are.
    fn depth(&self, size: u64) -> u32 {
        if self.synchronous {
            return 1;
        }
        let buffers = (self.queue_size / size).max(1);
        self.requests.min(u32::try_from(buffers).unwrap_or(u32::MAX))
    }

    /// The most requests that a connection has in flight.
    fn max_in_flight(&self) -> usize {
        self.depth(self.request_size) as usize
    }
}

pub(crate) fn run(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    // The source first: where it cannot be had, the destination stays as it was.
    let source = Source::open(&args.source, args)?;
    if let (Some(from), Place::Path(to)) = (source.identity(), &args.destination) {
        if Some(from) == place::identity(to) {
            bail!("{}: source and destination are the same", args.destination);
        }
    }
    check_block(source.block(), &args.source)?;
    let meter = progress::Meter::new(args.progress, args.quiet, source.size())?;
    let destination = Destination::open(&args.destination, source.size(), args)?;
    check_block(destination.block(), &args.destination)?;
    let align = source.block().max(destination.block());
    let step = args.request_size.min(source.longest()).min(destination.longest());
    // Both sides take whole blocks, so a step below one cannot be had.
    let step = (step - step % align).max(align);
    let geometry = Geometry {
        align: align.max(GRAIN.min(step)),
        step,
        zero_step: destination.zero_step(step),
        depth: args.depth(step),
    };
    tracing::debug!(?geometry, size = source.size(), "copying");
    pipeline::run(source, destination, geometry, meter)?;
    Ok(ExitCode::SUCCESS)
}

/// Buffers are as large as a block at least.
fn check_block(block: u64, place: &Place) -> anyhow::Result<()> {
    if block > MAX_REQUEST {
        bail!("{place}: the server wants blocks of {block} bytes, and a request can have {MAX_REQUEST} at most");
    }
    Ok(())
}
