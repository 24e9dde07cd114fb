//! The command `nbd`: looks at NBD servers, copies disks from and to them, and serves disks.

#![forbid(unsafe_code)]

mod cli;
mod copy;
mod demo;
mod info;
mod link;
mod log;
mod output;
mod private_dir;
mod report;
mod serve;
mod size;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log::init(cli.verbose);
    let outcome = match &cli.command {
        Command::Info(args) => info::run(args),
        Command::Copy(args) => copy::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Completion { shell } => cli::completion(*shell),
    };
    outcome.unwrap_or_else(|error| report::failure(&error))
}

/// A wrong call ends with 1, not with clap's 2: for `nbd info --is` and `--can`, 2 is the answer *no*.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to be done where even this cannot be printed.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
