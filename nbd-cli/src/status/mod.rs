//! `nbd status`: which block devices there are, and where they lead to.

mod human;
mod json;

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use nbd_kernel::{DeviceId, Status, Usage};

use crate::{kernel_device, output, report};

/// The exit code for a device that is not attached: what init scripts say of a program that does not run.
const NOT_ATTACHED: u8 = 3;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Which device: /dev/nbd0, nbd0, 0, or a link to it; without it all that are attached
    #[arg(value_parser = kernel_device::parser(), value_hint = ValueHint::FilePath)]
    device: Option<DeviceId>,

    /// Show devices that are not attached, too; needs the kernel's netlink interface
    #[arg(short, long, conflicts_with = "device")]
    all: bool,

    /// Print JSON: an object for one device, else an array; `since` in seconds since 1970
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The exit code of `nbd status DEVICE` is 0 if the device is attached, 3 if it is not, and 1 if that cannot be found out. \
Without DEVICE it is 0, even if nothing is attached: then nothing is printed, with --json an empty array.

Where a device leads to and since when is known only of those that `nbd attach` has made.

Examples:
  nbd status
  nbd status --json /dev/nbd0
  if nbd status nbd0 > /dev/null; then echo attached; fi";

/// What is shown of a device.
pub(crate) enum Shown {
    Attached(Box<Status>),
    /// Whether somebody has it open, so that it cannot be attached either.
    Idle(DeviceId, bool),
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(output::open()?);
    if let Some(device) = args.device {
        let Some(status) = Status::of(device)? else {
            report::notice(&format!("{device} is not attached"));
            return Ok(ExitCode::from(NOT_ATTACHED));
        };
        output::told(if args.json { json::one(&status, &mut out) } else { human::one(&status, &mut out) })?;
    } else {
        let devices = if args.all { all()? } else { attached()? };
        output::told(if args.json { json::list(&devices, &mut out) } else { human::table(&devices, &mut out) })?;
    }
    output::told(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn attached() -> anyhow::Result<Vec<Shown>> {
    Ok(Status::all()?.into_iter().map(|status| Shown::Attached(Box::new(status))).collect())
}

fn all() -> anyhow::Result<Vec<Shown>> {
    let shown = |usage: Usage| {
        let status = Status::of(usage.device)?;
        Ok(status.map_or(Shown::Idle(usage.device, usage.in_use), |status| Shown::Attached(Box::new(status))))
    };
    Usage::all()?.into_iter().map(shown).collect()
}
