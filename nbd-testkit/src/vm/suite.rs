//! All tests of a binary, and its `main`.

use std::collections::BTreeSet;
use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use super::guest;
use super::guest_test::GuestTest;
use super::kernel::{Kernel, SERIES};
use super::run::Run;
use super::{image, machine};
use crate::tool::{find_program, peers_required, say_skipped};

/// The tests of a binary, and what they need in the guest.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Tables of tests, each with the name of its module.
    pub modules: &'static [(&'static str, &'static [GuestTest])],
    /// Our own programs: the name in the guest, where it is in the search path, and the path on the host.
    pub programs: &'static [(&'static str, &'static str)],
    /// A directory of the host for archives and logs; they stay there for the next run.
    pub scratch: &'static str,
    /// Runs in the guest after each test, when its processes have been killed and what it mounted under `/tmp` has
    /// been unmounted. Brings the kernel back to the state it was in, or panics; then that test has failed. Ended
    /// after 60 seconds. The module `nbd` may not be loaded yet.
    pub between_tests: fn(),
}

impl Suite {
    /// The whole of a test binary's `main`.
    pub fn main(&self) -> ExitCode {
        let args: Vec<_> = env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [guest::RUN_ALL] => guest::run_all(self),
            [guest::RUN_ONE, test] => guest::run_one(self, test),
            [guest::TIDY] => guest::tidy(self),
            _ => self.on_host(&Arguments::from_args()),
        }
    }

    /// The test of this name, which is `module::test`.
    pub(crate) fn find(&self, name: &str) -> Option<GuestTest> {
        let (module, test) = name.split_once("::")?;
        let (_, tests) = self.modules.iter().find(|(name, _)| *name == module)?;
        tests.iter().find(|candidate| candidate.name == test).copied()
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.modules.iter().flat_map(|(module, tests)| tests.iter().map(move |test| format!("{module}::{}", test.name)))
    }

    fn on_host(&self, args: &Arguments) -> ExitCode {
        let twice = duplicate(self.names());
        assert!(twice.is_none(), "two tests are called {twice:?}, and only one of them would run");
        let missing = missing();
        let skipped = missing.is_some() && !peers_required();
        // Not twice, where the tests are listed in two parts.
        if let (Some(what), true) = (&missing, skipped && !args.ignored) {
            say_skipped(what);
        }
        let runs = SERIES.map(|series| {
            let wanted = |test: &String| is_wanted(&trial_name(test, series.name), args);
            Run { suite: *self, series, tests: self.names().filter(wanted).collect() }
        });
        // Test by test, not kernel by kernel: the first two trials boot all kernels at the same time.
        let mut trials = Vec::new();
        for test in self.names() {
            for run in runs.iter().filter(|run| run.tests.contains(&test)) {
                let (test, run, missing) = (test.clone(), run.clone(), missing.clone());
                let trial = Trial::test(trial_name(&test, run.series.name), move || match missing {
                    Some(what) => Err(what.into()),
                    None => Ok(run.outcome(&test)?),
                });
                trials.push(trial.with_ignored_flag(skipped));
            }
        }
        libtest_mimic::run(args, trials).exit_code()
    }
}

/// The first name that comes twice.
fn duplicate(names: impl IntoIterator<Item = String>) -> Option<String> {
    let mut known = BTreeSet::new();
    names.into_iter().find(|name| !known.insert(name.clone()))
}

/// The kernel's name comes last, so that runners that sort by name begin with one test on all kernels too.
fn trial_name(test: &str, kernel: &str) -> String {
    format!("{test}::{kernel}")
}

/// Whether a trial is among those asked for. cargo-nextest asks for one by each process, and means all.
fn is_wanted(trial: &str, args: &Arguments) -> bool {
    if env::var("NBD_VM_ONLY").is_ok_and(|part| !trial.contains(&part)) {
        return false;
    }
    if env::var_os("NEXTEST_RUN_ID").is_some() {
        return true;
    }
    let matches = |part: &String| if args.exact { trial == part } else { trial.contains(part.as_str()) };
    args.filter.as_ref().is_none_or(matches) && !args.skip.iter().any(matches)
}

/// Whether virtual machines can be run here.
///
/// If not, `false` comes back and one line on standard error says what to install: the test is to return. With
/// `NBD_TEST_REQUIRE_PEERS=1` in the environment this panics instead. A [`Suite`] sees to it itself.
pub fn available() -> bool {
    let missing = missing();
    if let Some(what) = &missing {
        assert!(!peers_required(), "NBD_TEST_REQUIRE_PEERS=1, and this test {what}");
        say_skipped(what);
    }
    missing.is_none()
}

/// What has to be installed first, if anything.
fn missing() -> Option<String> {
    let programs = image::PROGRAMS.iter().chain(&[machine::QEMU, "cpio", "ldd"]);
    let mut missing: Vec<_> = programs.filter(|name| find_program(name).is_none()).map(ToString::to_string).collect();
    let kernels = SERIES.iter().filter(|series| Kernel::find(**series).is_none());
    missing.extend(kernels.map(|series| format!("a kernel for {}", series.name)));
    if !cfg!(target_arch = "x86_64") {
        missing.push("an x86-64 processor".to_owned());
    }
    (!missing.is_empty()).then(|| format!("needs {} (.ci/install kernel-vm)", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::duplicate;

    #[test]
    fn a_name_that_comes_twice_is_found() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(duplicate(names(&["a::x", "a::y", "b::x"])), None);
        assert_eq!(duplicate(names(&["a::x", "b::x", "a::x"])).as_deref(), Some("a::x"));
    }
}
