//! Tracing on standard error, if it was asked for.

use tracing_subscriber::EnvFilter;

/// The environment variable with a filter, such as `debug`.
const VARIABLE: &str = "NBD_LOG";

pub(crate) fn init(verbose: bool) {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ if verbose => EnvFilter::new("trace"),
        _ => return,
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
