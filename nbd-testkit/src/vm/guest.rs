//! What the test binary does in the guest: runs the tests of the plan, and reports each.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::guest_test::GuestTest;
use super::image::PLAN;
use super::report::{Outcome, all_ended, begun, ended};
use super::suite::Suite;
use super::{LOGS, MODULE, processes};
use crate::listener::wait_readable;

/// The arguments that make this binary play a part in the guest.
pub(crate) const RUN_ALL: &str = "--in-guest";
pub(crate) const RUN_ONE: &str = "--in-guest-test";
pub(crate) const TIDY: &str = "--in-guest-tidy";

/// How long it may take to clear away what a test has left.
const TIDY_LIMIT: Duration = Duration::from_secs(60);

/// More of a test's output does not go into the report. All of it is in the logs.
const LONGEST_OUTPUT: usize = 32 << 10;

/// Runs the whole plan: first what wants no module, then, with the module, the rest.
pub(crate) fn run_all(suite: &Suite) -> ExitCode {
    let plan = fs::read_to_string(PLAN).expect("read the plan");
    let mut lines = plan.lines();
    let nonce = lines.next().expect("a plan begins with its nonce").to_owned();
    let port = OpenOptions::new().write(true).open("/dev/ttyS1").expect("open the serial port");
    let mut runner = Runner { nonce, port, stuck: BTreeSet::new() };

    let tests: Vec<_> =
        lines.map(|name| (name, suite.find(name).unwrap_or_else(|| panic!("no test is called {name}")))).collect();
    let (with_module, without): (Vec<_>, Vec<_>) = tests.into_iter().partition(|(_, test)| test.module);
    for (name, test) in without {
        runner.run(name, test);
    }
    if !with_module.is_empty() {
        // If this fails, each test will say what it lacks.
        Command::new("insmod").arg(MODULE).status().expect("run insmod");
    }
    for (name, test) in with_module {
        runner.run(name, test);
    }
    runner.tell(&all_ended(&runner.nonce));
    ExitCode::SUCCESS
}

/// Runs one test, in a process of its own.
pub(crate) fn run_one(suite: &Suite, name: &str) -> ExitCode {
    // A signal to its process group is to reach what it started, and nobody else.
    rustix::process::setsid().expect("a session of its own");
    (suite.find(name).expect("the test").run)();
    ExitCode::SUCCESS
}

/// Clears away what a test has left, in a process of its own, because touching a dead device may hang.
pub(crate) fn tidy(suite: &Suite) -> ExitCode {
    let mounts = fs::read_to_string("/proc/mounts").expect("read the mounts");
    let places = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for place in places.filter(|place| place.starts_with("/tmp/")) {
        let status = Command::new("umount").args(["-f", "-l", place]).status().expect("run umount");
        assert!(status.success(), "{place} is still mounted");
    }
    (suite.between_tests)();
    for entry in fs::read_dir("/tmp").expect("list /tmp").flatten() {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("remove {}: {error}", path.display()));
    }
    ExitCode::SUCCESS
}

struct Runner {
    nonce: String,
    port: File,
    /// Processes that no signal ends. Only the test that left them is blamed.
    stuck: BTreeSet<i32>,
}

impl Runner {
    fn run(&mut self, name: &str, test: GuestTest) {
        // The kernel's messages are told apart by this.
        fs::write("/dev/kmsg", marker(name)).ok();
        self.tell(&begun(&self.nonce, name));
        let start = Instant::now();
        let mut faults = Vec::new();
        faults.extend(child(&[RUN_ONE, name], name, test.limit).err());
        let millis = start.elapsed().as_millis();
        // What does not end yet may do so when its device is gone.
        processes::kill_all();
        let tidied = child(&[TIDY], &format!("{name}.tidy"), TIDY_LIMIT);
        faults.extend(tidied.err().map(|fault| format!("what it left cannot be cleared away: {fault}")));
        let left: BTreeSet<_> = processes::kill_all().difference(&self.stuck).copied().collect();
        if !left.is_empty() {
            faults.push(format!("it left what cannot be killed:\n{}", processes::describe(&left)));
            self.stuck.extend(left);
        }
        let outcome = if faults.is_empty() { Outcome::Passed } else { Outcome::Failed(faults.join("\n")) };
        self.tell(&ended(&self.nonce, name, &outcome, millis));
    }

    fn tell(&self, line: &str) {
        (&self.port).write_all(line.as_bytes()).expect("write to the serial port");
    }
}

/// What lines of the kernel's log contain that tell where a test begins.
pub(crate) const MARK: &str = "vm-tests: ";

/// Such a line.
pub(crate) fn marker(test: &str) -> String {
    format!("{MARK}{test} begins")
}

/// Runs this binary once more. The error is what went wrong and all that it printed.
#[expect(clippy::zombie_processes, reason = "waiting for one that no signal ends would never end")]
fn child(args: &[&str], log: &str, limit: Duration) -> Result<(), String> {
    let path = Path::new(LOGS).join(format!("{log}.log"));
    let output = File::create(&path).expect("create a file for the output");
    let mut child = Command::new(env::current_exe().expect("the path of this binary"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("the same file"))
        .stderr(output)
        .spawn()
        .expect("start a process for the test");
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a process to wait for");
    let fault = if wait_readable(&[process.as_fd()], Some(limit)).is_some() {
        let status = child.wait().expect("it has ended");
        (!status.success()).then(|| describe(status))
    } else {
        let fault =
            format!("hangs: not ended after {} s\n{}", limit.as_secs(), processes::describe(&processes::others()));
        child.kill().ok();
        Some(fault)
    };
    match fault {
        Some(fault) => Err(format!("{fault}\n{}", read_end(&path))),
        None => Ok(()),
    }
}

fn describe(status: ExitStatus) -> String {
    // The panic itself is in the output.
    if status.code() == Some(101) { "panicked".to_owned() } else { status.to_string() }
}

/// The last part of a text file.
fn read_end(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(LONGEST_OUTPUT);
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    if from > 0 { format!("({from} bytes before this are in the logs) …{text}") } else { text }
}
