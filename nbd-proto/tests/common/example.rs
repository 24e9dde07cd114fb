//! Where the examples are.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "looks for a program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

/// The program of an example. Cargo builds the examples of a crate together with all its tests, into a folder beside
/// them; but not when one test file is asked for by name.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{name} is not built: run `cargo build -p nbd-proto --examples` first");
    program
}
