//! Tests in a virtual machine: what goes wrong in the guest is told on the host, and stops nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod guest;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use nbd_testkit::vm;

/// Says that this process is the one with the guest's tests, most of which are to fail.
const INNER: &str = "NBD_TESTKIT_INNER";

fn main() -> ExitCode {
    let in_guest = std::env::args().nth(1).is_some_and(|arg| arg.starts_with("--in-guest"));
    if in_guest || std::env::var_os(INNER).is_some() {
        return guest::SUITE.main();
    }
    let trials = vec![
        trial("each_test_has_its_own_outcome", each_test_has_its_own_outcome),
        trial("a_kernel_that_dies_is_told_and_earlier_results_are_kept", a_kernel_that_dies_is_told),
        trial("without_kernels_tests_are_skipped_with_one_line", without_kernels_tests_are_skipped),
        trial("where_peers_are_required_a_missing_kernel_is_a_failure", a_required_kernel_is_missed),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<_, Failed>(())
    })
}

/// A run of the guest's tests, as a person would start it.
struct Inner {
    success: bool,
    text: String,
    errors: String,
}

impl Inner {
    fn run(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { success: output.status.success(), text: text(output.stdout), errors: text(output.stderr) }
    }

    #[track_caller]
    fn assert_says(&self, expected: &str) {
        assert!(self.text.contains(expected), "does not say {expected:?}:\n{}", self.text);
    }

    /// What is told of a failed test.
    #[track_caller]
    fn failure(&self, test: &str) -> &str {
        let (_, rest) = self.text.split_once(&format!("---- {test}::linux_6_12 ----\n")).unwrap_or_else(|| {
            panic!("{test} has not failed:\n{}", self.text);
        });
        rest.split("\n---- ").next().unwrap()
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(args)
        .env(INNER, "1")
        .env_remove("NBD_VM_ONLY")
        // It is a run of its own.
        .env_remove("NEXTEST_RUN_ID")
        .env_remove("NBD_TEST_REQUIRE_PEERS");
    command
}

fn each_test_has_its_own_outcome() {
    if !vm::available() {
        return;
    }
    let run = Inner::run(command(&["outcomes::"]).env("NBD_VM_ONLY", "linux_6_12"));
    run.assert_says("4 passed; 4 failed");

    let panics = run.failure("outcomes::panics");
    assert!(panics.contains("left: \"1 + 1\"") && panics.contains("printed before it"), "{panics}");
    assert!(panics.contains("said to the kernel's log"), "{panics}");

    let hangs = run.failure("outcomes::hangs");
    assert!(hangs.contains("hangs: not ended after 5 s") && hangs.contains("state S: vm-tests"), "{hangs}");

    let exits = run.failure("outcomes::exits");
    assert!(exits.contains("exit status: 7"), "{exits}");

    let spoils = run.failure("outcomes::spoils_the_next_one");
    assert!(spoils.contains("cannot be cleared away: panicked") && spoils.contains("/run/spoiled is left"), "{spoils}");
}

fn a_kernel_that_dies_is_told() {
    if !vm::available() {
        return;
    }
    let run = Inner::run(command(&["crash::"]).env("NBD_VM_ONLY", "linux_6_12"));
    run.assert_says("1 passed; 2 failed");

    let crashing = run.failure("crash::kills_the_kernel");
    assert!(crashing.contains("in this test") && crashing.contains("Kernel panic"), "{crashing}");
    let after = run.failure("crash::never_runs");
    assert!(after.contains("no result") && after.contains("in crash::kills_the_kernel"), "{after}");
}

fn without_kernels_tests_are_skipped() {
    let run = Inner::run(command(&["outcomes::"]).env("HOME", "/nonexistent").env_remove("XDG_CACHE_HOME"));
    assert!(run.success, "{}", run.text);
    run.assert_says("0 passed; 0 failed; 16 ignored");
    assert_eq!(run.errors.lines().count(), 1, "{}", run.errors);
    assert!(run.errors.starts_with("skipped: needs "), "{}", run.errors);
    assert!(run.errors.ends_with(" (.ci/install kernel-vm)\n"), "{}", run.errors);
}

fn a_required_kernel_is_missed() {
    let mut command = command(&["outcomes::panics"]);
    let run =
        Inner::run(command.env("HOME", "/nonexistent").env_remove("XDG_CACHE_HOME").env("NBD_TEST_REQUIRE_PEERS", "1"));
    assert!(!run.success, "{}", run.text);
    run.assert_says("0 passed; 2 failed");
    run.assert_says("a kernel for linux_6_1, a kernel for linux_6_12 (.ci/install kernel-vm)");
}
