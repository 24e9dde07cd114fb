//! `nbd info`: what a server negotiated and offers.

mod ask;
mod facts;
mod human;
mod json;
mod map;
mod paint;

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args};
use nbd_driver_std::Unaligned;

use crate::link::{self, LinkArgs};
use crate::output;
use ask::Question;
use facts::Report;
use paint::Paint;

/// How long a server may take for a reply, unless the user says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InfoArgs {
    /// Where the server is: `nbd://HOST[:PORT]/EXPORT` or `nbd+unix:///EXPORT?socket=PATH`
    uri: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print only the size of the export, in bytes
    #[arg(long, group = "mode")]
    size: bool,

    /// Show all exports of the server; the export name in the URI is ignored
    #[arg(short = 'L', long, group = "mode")]
    list: bool,

    /// Show which parts of the export are data and which are holes, or what another metadata context says
    #[arg(
        long,
        group = "mode",
        value_name = "CONTEXT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "base:allocation"
    )]
    map: Option<String>,

    /// With --map: only show the sum of the sizes for each kind of extent
    #[arg(long, requires = "map")]
    totals: bool,

    /// Print nothing; exit with 0 if the server can WHAT, with 2 if not, with 1 if that cannot be found out
    ///
    /// WHAT is one of: cache, connect, df, extended-headers, fast-zero, flush, fua, multi-conn, read,
    /// structured-reply, trim, write, zero
    #[arg(long, group = "mode", value_name = "WHAT", alias = "has")]
    can: Option<Question>,

    /// Print nothing; exit with 0 if the export is WHAT, with 2 if not, with 1 if that cannot be found out
    ///
    /// WHAT is one of: read-only, rotational, tls
    #[arg(long, group = "mode", value_name = "WHAT")]
    is: Option<Question>,

    /// Use colours even if the output is no terminal
    #[arg(long, alias = "colour", action = ArgAction::SetTrue, overrides_with = "no_color")]
    color: bool,

    /// Use no colours
    #[arg(long, alias = "no-colour", action = ArgAction::SetTrue, overrides_with = "color")]
    no_color: bool,

    #[command(flatten)]
    link: LinkArgs,
}

const EXAMPLES: &str = "Examples:
  nbd info nbd://localhost
  nbd info 'nbd+unix:///disk?socket=/run/nbd.sock'
  nbd info --list --json nbd://localhost
  nbd info --map --totals nbd://localhost
  nbd info --map=qemu:dirty-bitmap:bitmap0 nbd://localhost
  if nbd info --is read-only nbd://localhost; then echo read-only; fi";

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let uri = link::parse(&args.uri)?;
    let options = args.link.options(Some(PATIENCE));
    let mut out = BufWriter::new(output::open()?);
    let paint = Paint::new(args.color, args.no_color);

    if let Some(question) = args.can.or(args.is) {
        let yes = question.answer(&link::connect(&options, &uri)?);
        return Ok(if yes { ExitCode::SUCCESS } else { ExitCode::from(ask::NO) });
    }
    if args.size {
        output::told(writeln!(out, "{}", link::connect(&options, &uri)?.size()))?;
    } else if let Some(context) = &args.map {
        // Servers may cut extents within a block; the walk goes on from there.
        let options = options.meta_context(context).unaligned(Unaligned::Pad);
        let client = link::connect(&options, &uri)?;
        let format = map::Format { timeout: args.link.timeout, json: args.json, totals: args.totals, paint };
        map::show(&client, context, &uri, &format, &mut out)?;
    } else {
        let report = if args.list {
            Report::of_listing(link::list(&options, &uri)?, &uri)
        } else {
            let client = link::connect(&options.list_contexts(true), &uri)?;
            Report::of_connection(client.negotiated(), &uri)
        };
        output::told(if args.json {
            json::report(&report, &mut out)
        } else {
            human::report(&report, paint, &mut out)
        })?;
    }
    output::told(out.flush())?;
    Ok(ExitCode::SUCCESS)
}
