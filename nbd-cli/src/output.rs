//! Standard output.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use anyhow::Context as _;

/// What failures with it are told as.
pub(crate) const NAME: &str = "standard output";

/// As a plain file: `std`'s own takes one that cannot be written to for one that swallows everything, and looks for
/// the ends of lines.
pub(crate) fn open() -> anyhow::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned().with_context(|| format!("opening {NAME}"))?.into())
}

/// Says where a failure to write came from.
pub(crate) fn told(result: io::Result<()>) -> anyhow::Result<()> {
    result.with_context(|| format!("writing to {NAME}"))
}
