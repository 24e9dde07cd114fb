//! The table of advisories in `SECURITY.md` and the tests in the tree are the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of all crates.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Each row's first cell, and the files that it names.
fn table() -> Vec<(String, Vec<PathBuf>)> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| CVE-") || line.starts_with("| libnbd "));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [advisory, _class, tests] = cells[..] else { panic!("a row of three cells: {line}") };
        (advisory.to_owned(), tests.split('`').skip(1).step_by(2).map(PathBuf::from).collect())
    };
    rows.map(row).collect()
}

/// Files of tests that are named by an advisory.
fn named(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            named(&entry.path(), found);
        } else if ["cve_", "libnbd_20"].iter().any(|start| entry.file_name().to_str().unwrap().starts_with(start)) {
            found.insert(entry.path());
        }
    }
}

/// Whether a file is part of a program of tests: some other file includes it.
fn is_compiled(file: &Path) -> bool {
    let (folder, name) = (file.parent().unwrap(), file.file_stem().unwrap().to_str().unwrap());
    let mention = format!("\nmod {name};\n");
    [folder.join("main.rs"), folder.with_extension("rs")]
        .iter()
        .any(|parent| fs::read_to_string(parent).is_ok_and(|text| text.contains(&mention)))
}

#[test]
fn every_test_that_the_table_names_exists_and_is_run() {
    let table = table();
    assert!(table.len() >= 19, "{} rows", table.len());
    for (advisory, tests) in table {
        assert!(!tests.is_empty(), "{advisory} has no test");
        for test in tests {
            let file = root().join(&test);
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", test.display()));
            assert!(text.contains("#[test]\nfn "), "{} has no test", test.display());
            assert!(is_compiled(&file), "{} is not compiled", test.display());
            // The file tells of the advisory, and is named by it.
            let mention = advisory.strip_prefix("libnbd ").unwrap_or(&advisory);
            let name = test.file_name().unwrap().to_str().unwrap();
            assert!(name.contains(&mention.to_lowercase().replace('-', "_")), "{advisory}: {name}");
        }
    }
}

#[test]
fn every_test_named_by_an_advisory_is_in_the_table() {
    let mut found = BTreeSet::new();
    for crate_ in ["nbd-proto", "nbd-driver-std", "nbd-driver-mio", "nbd-kernel", "nbd-cli"] {
        for part in ["src", "tests"] {
            named(&root().join(crate_).join(part), &mut found);
        }
    }
    let told: BTreeSet<_> = table().into_iter().flat_map(|(_, tests)| tests).map(|test| root().join(test)).collect();
    assert_eq!(told, found);
}
