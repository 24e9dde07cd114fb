//! Leave to have many files open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files as far as it goes without privileges. Whether that is enough; if not, a line says so,
/// and with `NBD_TEST_REQUIRE_PEERS=1` in the environment that is a panic.
pub(crate) fn can_open(files: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raise a soft limit");
    // No limit is the highest one.
    let enough = limit.maximum.is_none_or(|maximum| maximum >= files);
    if !enough {
        let message = format!(
            "needs {files} open files, and the hard limit is {}: raise it, for instance with `ulimit -Hn {files}` as root",
            limit.maximum.unwrap_or_default()
        );
        let required = std::env::var_os("NBD_TEST_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "NBD_TEST_REQUIRE_PEERS=1, and this test {message}");
        eprintln!("skipped: {message}");
    }
    enough
}
