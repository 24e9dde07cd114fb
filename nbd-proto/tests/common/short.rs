//! How long the examples are.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "looks at files")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

/// Each example of a crate is one file that can be read at one go.
pub(crate) fn all_are_short(crate_folder: &str) {
    let folder = PathBuf::from(crate_folder).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 150, "{} has {lines} lines", path.display());
        count += 1;
    }
    assert!(count > 0);
}
