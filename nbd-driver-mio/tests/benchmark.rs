//! The benchmark still runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn the_benchmark_measures_and_draws() {
    // Cargo builds examples together with tests, into a folder beside them.
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/scale");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("scale.svg");
    let output = Command::new(program).args(["--quick", "--svg"]).arg(&picture).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("server of this crate: ").count(), 4, "{said}");
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("server of this crate: 1 in flight on each connection"));
}
