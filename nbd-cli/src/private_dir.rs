//! A directory that nobody else can look into.

use std::env;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{self, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// Paths of Unix sockets end after 107 bytes (unix(7)); this leaves room for a file's name.
const LONGEST: usize = 90;

/// How many random characters its name ends in.
const RANDOM: usize = 6;

/// A new one with an absolute path, for a socket in it. It is removed with all that is in it when the value is dropped.
pub(crate) fn new() -> anyhow::Result<TempDir> {
    let fits = |base: &PathBuf| base.as_os_str().len() <= LONGEST - "/nbd-".len() - RANDOM;
    // Only as a whole it shows its length. TMPDIR may be empty, too.
    let base = path::absolute(env::temp_dir()).ok().filter(fits).unwrap_or_else(|| PathBuf::from("/tmp"));
    tempfile::Builder::new()
        .prefix("nbd-")
        .rand_bytes(RANDOM)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&base)
        .with_context(|| format!("making a directory for the socket in {}, which TMPDIR can change", base.display()))
}
