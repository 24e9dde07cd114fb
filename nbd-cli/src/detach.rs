//! `nbd detach`: the end of a block device.

use std::process::ExitCode;

use clap::{Args, ValueHint};
use nbd_kernel::{Detach, DeviceId};

use crate::{kernel_device, report};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DetachArgs {
    /// Which device: /dev/nbd0, nbd0, 0, or a link to it
    #[arg(value_parser = kernel_device::parser(), value_hint = ValueHint::FilePath)]
    device: DeviceId,

    /// End it even if it is mounted or otherwise in use, and even if the server does not answer
    ///
    /// Whoever uses it gets errors, and what was not yet written is lost. Where no process stays for the device, and
    /// the kernel is sending to a server that takes nothing, this can take as long as the device's --timeout, or twice.
    #[arg(short, long)]
    force: bool,
}

const EXAMPLES: &str = "\
The exit code is 0 when the device has ended, and 1 when it has not, or was not attached. A process that stays for it, \
or supervises it (--persist), ends as well. Who still has the device open is named on standard error; its name is free \
when the last of them has closed it.

Examples:
  nbd detach /dev/nbd0
  nbd detach --force nbd0";

pub(crate) fn run(args: &DetachArgs) -> anyhow::Result<ExitCode> {
    let detached = Detach::new().force(args.force).detach(args.device)?;
    for holder in &detached.still_held {
        report::notice(&format!("{} has ended, but it is still {holder}", args.device));
    }
    Ok(ExitCode::SUCCESS)
}
