//! The command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::attach::AttachArgs;
use crate::copy::CopyArgs;
use crate::demo::DemoArgs;
use crate::detach::DetachArgs;
use crate::info::InfoArgs;
use crate::output;
use crate::serve::ServeArgs;
use crate::status::StatusArgs;

/// Look at NBD servers, copy disks from and to them, serve disks, and make block devices of them.
#[derive(Debug, Parser)]
#[command(name = "nbd", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Show every step of the protocol on standard error
    ///
    /// The environment variable `NBD_LOG` does the same, with a choice: `NBD_LOG=debug`, `NBD_LOG=nbd_driver_std=trace`.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  nbd demo
  nbd info nbd://localhost
  nbd info --list nbd+unix:///?socket=/run/nbd.sock
  nbd copy nbd://server/disk disk.img
  nbd copy disk.img nbd://server/disk
  nbd serve --unix /run/nbd.sock file:disk.img
  nbd attach nbd://server/disk
  nbd detach /dev/nbd0";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what an NBD server offers
    Info(InfoArgs),
    /// Copy a disk between NBD servers, files, devices and pipes
    Copy(CopyArgs),
    /// Serve disks in memory, files and devices over NBD
    Serve(ServeArgs),
    /// Make a block device of an NBD server's disk
    Attach(AttachArgs),
    /// End a block device
    Detach(DetachArgs),
    /// Show which block devices there are, and where they lead to
    Status(StatusArgs),
    /// Show in a few seconds what NBD is: a server and a client talk to each other
    Demo(DemoArgs),
    /// Print a script that completes this command in a shell
    #[command(after_help = "Examples:
  nbd completion bash > ~/.local/share/bash-completion/completions/nbd
  nbd completion zsh  > ~/.zfunc/_nbd
  nbd completion fish > ~/.config/fish/completions/nbd.fish")]
    Completion {
        /// Which shell
        shell: Shell,
    },
}

pub(crate) fn completion(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nbd", &mut script);
    output::told(output::open()?.write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
