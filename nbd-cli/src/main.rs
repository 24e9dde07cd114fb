//! The command `nbd`: looks at NBD servers, copies disks from and to them, serves disks, and makes block devices of
//! them.

#![forbid(unsafe_code)]

mod attach;
mod cli;
mod copy;
mod demo;
mod detach;
mod info;
mod json;
mod kernel_device;
mod link;
mod log;
mod output;
mod private_dir;
mod report;
mod serve;
mod signals;
mod size;
mod status;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::panic;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use cli::{Cli, Command};

fn main() -> ExitCode {
    panic::set_hook(Box::new(report::panicked));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // What stays in the background logs elsewhere.
    if !matches!(cli.command, Command::Attach(_)) {
        log::init(cli.verbose);
    }
    let outcome = match &cli.command {
        Command::Info(args) => info::run(args),
        Command::Copy(args) => copy::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Attach(args) => attach::run(args, cli.verbose),
        Command::Detach(args) => detach::run(args),
        Command::Status(args) => status::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Completion { shell } => cli::completion(*shell),
    };
    outcome.unwrap_or_else(|error| report::failure(&error))
}

/// A wrong call ends with 1, not with clap's 2: for `nbd info --is` and `--can`, 2 is the answer *no*.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to be done where even this cannot be printed.
    let _ = if !error.use_stderr() || has_plain_arguments() { error.print() } else { print_escaped(error) };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Whether clap may repeat them on a terminal.
fn has_plain_arguments() -> bool {
    env::args_os().all(|argument| {
        let argument = argument.to_string_lossy();
        report::one_line(&argument) == argument
    })
}

/// Without colours, which would be escaped as well.
fn print_escaped(error: &clap::Error) -> io::Result<()> {
    // The ends of lines are to be clap's own. It would say the same of arguments without any.
    let arguments = env::args_os().map(|argument| {
        let bytes = argument.into_vec().into_iter();
        let escaped = bytes.flat_map(|byte| if byte == b'\n' { vec![b'\\', b'n'] } else { vec![byte] });
        OsString::from_vec(escaped.collect())
    });
    let text = Cli::try_parse_from(arguments).err().map_or_else(|| error.to_string(), |error| error.to_string());
    let lines: Vec<_> = text.trim_end().split('\n').map(report::one_line).collect();
    writeln!(io::stderr(), "{}", lines.join("\n"))
}
