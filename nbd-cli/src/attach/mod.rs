//! `nbd attach`: a block device out of an export.

mod background;
mod connect;
mod interrupt;
mod plan;
mod stay;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueHint};
use nbd_kernel::{Device, DeviceId};

use crate::{kernel_device, log, output, report};
use background::Starter;
use connect::Patience;
use interrupt::Interrupt;
use plan::Plan;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttachArgs {
    /// Where the server is: `nbd://HOST[:PORT]/EXPORT` or `nbd+unix:///EXPORT?socket=PATH`
    #[arg(value_hint = ValueHint::Url)]
    uri: String,

    /// Which device: /dev/nbd0, nbd0, 0, or a link to it; without it the first that is free
    #[arg(value_parser = kernel_device::parser(), value_hint = ValueHint::FilePath)]
    device: Option<DeviceId>,

    /// How many connections to make; the server must be able to serve several
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    connections: u16,

    /// The device's block size, a power of two from 512 on
    ///
    /// Without this option it is 512, or the server's minimum if that is larger. What does not fill a block at the
    /// export's end cannot be reached.
    #[arg(short, long, value_name = "SIZE", value_parser = plan::block_size)]
    block_size: Option<u32>,

    /// How long the server may take for a request, in whole seconds; 0 stands for ever
    ///
    /// The kernel looks only now and then, so that it may take twice as long. Then the connection is given up. Without
    /// this option it is 60, with --persist 30.
    #[arg(short, long, value_name = "SECONDS", value_parser = plan::seconds)]
    timeout: Option<Duration>,

    /// How long requests wait for a new connection when all are lost, before they fail; 0 stands for not at all
    ///
    /// Without this option they do not wait, with --persist 120 seconds. Not with --ioctl.
    #[arg(long, value_name = "SECONDS", value_parser = plan::seconds)]
    dead_timeout: Option<Duration>,

    /// Make the device read-only even if the export is not
    #[arg(short, long)]
    read_only: bool,

    /// Stay, and connect anew when a connection is lost; requests wait for that
    ///
    /// The server must show the same export then. Not with --ioctl, which has no way to replace a connection.
    #[arg(short, long)]
    persist: bool,

    /// With --persist: give the device the export's new size if it has another one on a new connection
    #[arg(long, requires = "persist")]
    follow_size: bool,

    /// Use the kernel's older interface, where a process has to stay as long as the device
    #[arg(long, group = "interface")]
    ioctl: bool,

    /// Use the kernel's netlink interface; without this option, ioctl is used where there is none
    #[arg(long, group = "interface")]
    netlink: bool,

    /// Stay in front for as long as the device is attached, and tell systemd when it is ready
    #[arg(short, long)]
    foreground: bool,

    /// Try again until the server can be reached, or for SECONDS
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = Patience::FOR_EVER,
        value_parser = Patience::parse
    )]
    wait: Option<Patience>,

    /// Where a process that stays tells what becomes of the device; without this option in the background syslog, in
    /// front standard error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
}

const EXAMPLES: &str = "\
The device is printed when it is ready: it has its size, and can be opened. By netlink no process is needed after that. \
With --persist or by ioctl one stays in the background until the device ends, and detaches it at SIGTERM, SIGINT or \
SIGHUP. A device that is mounted, swapped to, or part of another one stays until the next signal. One more, while it is \
detached, ends the process at once.

A server has 10 seconds to accept, 5 seconds for each byte of the handshake and 30 seconds for all of it. With several \
connections all are made, and compared, before the kernel gets any.

The exit code is 0 when the device is ready; with --foreground when it was detached, by a signal or by `nbd detach`. It \
is 1 when it could not be attached, was called wrongly, or with --foreground when the server is gone; 128 and the \
signal's number if a signal came before it was ready, or twice.

Examples:
  nbd attach nbd://server/disk
  nbd attach nbd+unix:///disk?socket=/run/nbd.sock /dev/nbd3
  nbd attach --persist --connections 4 nbd://server/disk
  nbd attach --foreground --persist --wait nbd://server/disk nbd0
  dev=$(nbd attach nbd://server/disk) && mount \"$dev\" /mnt";

pub(crate) fn run(args: &AttachArgs, verbose: bool) -> anyhow::Result<ExitCode> {
    let starter = Starter::of_this_process()?;
    let plan = Plan::new(args)?;
    if plan.stays && !args.foreground && starter.is_none() {
        log::init(verbose);
        return background::start();
    }
    if plan.stays {
        log::init_staying(verbose, log_place(args)?);
    } else {
        log::init(verbose);
    }
    let outcome = attach(args, &plan, starter);
    if let Err(error) = &outcome {
        if plan.stays && (!args.foreground || args.log.is_some()) {
            tracing::error!("{}", report::one_line(&report::line(error)));
        }
    }
    outcome
}

fn attach(args: &AttachArgs, plan: &Plan, starter: Option<Starter>) -> anyhow::Result<ExitCode> {
    let starter = starter.map(Starter::watch).transpose()?;
    let connections = connect::all(plan, args.wait)?;
    // Until here a signal has nothing to leave behind.
    let interrupt = Interrupt::on_signals()?;
    if let Some(starter) = &starter {
        starter.interrupts(&interrupt);
    }
    let device = plan.attach(connections)?;
    interrupt.stops(&device);
    if let Some(code) = interrupt.code() {
        device.detach()?;
        return Ok(code);
    }
    warn(&device);
    if let Err(error) = print(&device) {
        // Nobody knows of the device.
        device.detach()?;
        return Err(error);
    }
    if !plan.stays {
        return match device.leave() {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(device) => stay::until_end(plan, *device),
        };
    }
    if let Some(starter) = starter {
        starter.ready()?;
    }
    stay::until_end(plan, device)
}

fn log_place(args: &AttachArgs) -> anyhow::Result<log::Place> {
    Ok(match &args.log {
        Some(path) => log::Place::File(open_log(path)?),
        None if args.foreground => log::Place::StandardError,
        None => log::Place::Syslog,
    })
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("opening the log {}", path.display()))
}

fn warn(device: &Device) {
    device.warnings().iter().for_each(|warning| report::notice(warning));
    let geometry = device.geometry();
    if geometry.unreachable > 0 {
        report::notice(&format!(
            "{}: the last {} bytes of the export do not fill a block of {}, and cannot be reached",
            device.id(),
            geometry.unreachable,
            geometry.block_size
        ));
    }
}

fn print(device: &Device) -> anyhow::Result<()> {
    output::told(writeln!(output::open()?, "{}", device.id()))
}
