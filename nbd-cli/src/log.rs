//! Tracing on standard error, if it was asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable with a filter, such as `debug`.
const VARIABLE: &str = "NBD_LOG";

pub(crate) fn init(verbose: bool) {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ if verbose => EnvFilter::new("trace"),
        _ => return,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let format = tracing_subscriber::fmt().with_ansi(colours).with_target(false);
    format.with_env_filter(filter).with_writer(std::io::stderr).init();
}
