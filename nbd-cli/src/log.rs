//! Tracing, if it was asked for, or of a process that stays.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use syslog_tracing::{Facility, Options, Syslog};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

/// The environment variable with a filter, such as `debug`.
const VARIABLE: &str = "NBD_LOG";

/// What a process that stays tells in any case.
const STAYING: &str = "info";

/// Where a process that stays tells what becomes of the device.
#[derive(Debug)]
pub(crate) enum Place {
    StandardError,
    /// If there is none, it is not told.
    Syslog,
    File(File),
}

/// For most commands: on standard error, if it was asked for.
pub(crate) fn init(verbose: bool) {
    if let Some(filter) = wanted(verbose) {
        on_standard_error(filter);
    }
}

/// For a process that stays. What `--verbose` asks for is shown on standard error as well, as long as there is one.
pub(crate) fn init_staying(verbose: bool, place: Place) {
    let filter = wanted(verbose).unwrap_or_else(|| EnvFilter::new(STAYING));
    let format = format().with_ansi(false);
    match place {
        Place::StandardError => on_standard_error(filter),
        Place::File(file) => format.with_env_filter(filter).with_writer(shown(verbose, Arc::new(file))).init(),
        Place::Syslog => {
            // There is none only if there is one already.
            if let Some(syslog) = Syslog::new(c"nbd", Options::LOG_PID, Facility::Daemon) {
                // Time and level are in what it makes of it.
                let format = format.without_time().with_level(false);
                format.with_env_filter(filter).with_writer(shown(verbose, syslog)).init();
            }
        }
    }
}

fn wanted(verbose: bool) -> Option<EnvFilter> {
    match env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => Some(EnvFilter::new(filter)),
        _ => verbose.then(|| EnvFilter::new("trace")),
    }
}

/// A line that cannot be written, as on a full disk, is lost and stops nothing: the complaint about it would go to
/// standard error, and a panic follows where that is the one that is full or closed.
fn format() -> SubscriberBuilder {
    tracing_subscriber::fmt().with_target(false).log_internal_errors(false)
}

fn on_standard_error(filter: EnvFilter) {
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    format().with_ansi(colours).with_env_filter(filter).with_writer(io::stderr).init();
}

fn shown(verbose: bool, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> BoxMakeWriter {
    if verbose { BoxMakeWriter::new(writer.and(io::stderr)) } else { BoxMakeWriter::new(writer) }
}
