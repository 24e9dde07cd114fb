//! One run of the tests: a directory that all its processes share, so that a kernel is booted once, whoever asks
//! first.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use super::guest::{MARK, marker};
use super::kernel::{Kernel, Series};
use super::report::{Outcome, Report};
use super::suite::Suite;
use super::{image, machine};

/// How long a machine may run, whatever it does.
const LIMIT: Duration = Duration::from_secs(1500);

/// How many runs keep their logs.
const KEPT: usize = 4;

/// How much of the console is told where a machine ran no test.
const CONSOLE_LINES: usize = 40;

/// The same for all processes of a run of cargo-nextest; elsewhere a run is one process.
static ID: LazyLock<String> = LazyLock::new(|| match env::var("NEXTEST_RUN_ID") {
    Ok(id) => id,
    Err(_) => {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{}-{}", now.as_secs(), std::process::id())
    }
});

/// All tests that are to run on one kernel.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) suite: Suite,
    pub(crate) series: Series,
    pub(crate) tests: Vec<String>,
}

impl Run {
    /// What came of a test. Boots the machine for all of them, unless that has been done in this run.
    pub(crate) fn outcome(&self, test: &str) -> Result<(), String> {
        let dir = self.dir();
        let ending = self.ending(&dir)?;
        let report = Report::parse(&ID, &read(&dir.join(machine::REPORT)));
        let console = read(&dir.join(machine::CONSOLE));
        let place = format!("logs: {}", dir.display());
        match report.outcomes.get(test) {
            Some(Outcome::Passed) => Ok(()),
            Some(Outcome::Failed(output)) => {
                let messages = messages(&console, test);
                Err(format!("{}\nkernel messages:\n{messages}\n{place}", output.trim_end()))
            }
            None => Err(match &report.last {
                Some(last) if last == test => {
                    let messages = messages(&console, test);
                    format!("no result: {ending}, in this test\nkernel messages:\n{messages}\n{place}")
                }
                Some(last) => format!("no result: {ending}, in {last}\n{place}"),
                None => {
                    let end = last_lines(&console, CONSOLE_LINES);
                    format!("no result: {ending}, before the first test\nthe console's end:\n{end}\n{place}")
                }
            }),
        }
    }

    fn dir(&self) -> PathBuf {
        Path::new(self.suite.scratch).join(format!("run-{}", *ID)).join(self.series.name)
    }

    /// How the machine ended, once it has.
    fn ending(&self, dir: &Path) -> Result<String, String> {
        fs::create_dir_all(dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
        let lock = File::create(dir.join("lock")).map_err(|error| format!("create a lock file: {error}"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| format!("lock: {error}"))?;
        let ended = dir.join("ended");
        if let Ok(ending) = fs::read_to_string(&ended) {
            return Ok(ending);
        }
        // Whoever booted it has died over it. Doing it again for each test would take hours.
        if File::create_new(dir.join("started")).is_err() {
            return Err(format!("no result: the run on this kernel was cut short\nlogs: {}", dir.display()));
        }
        let ending = self.boot(dir);
        fs::write(&ended, &ending).map_err(|error| format!("write {}: {error}", ended.display()))?;
        Ok(ending)
    }

    fn boot(&self, dir: &Path) -> String {
        let scratch = Path::new(self.suite.scratch);
        remove_old_runs(scratch);
        let kernel = Kernel::find(self.series).expect("the kernel was there a moment ago");
        let own = env::current_exe().expect("the path of this binary");
        let programs = self.suite.programs.iter().map(|&(name, path)| (name, PathBuf::from(path)));
        let programs: Vec<_> = [("vm-tests", own)].into_iter().chain(programs).collect();
        let plan = format!("{}\n{}\n", *ID, self.tests.join("\n"));
        let archive = dir.join("initrd");
        image::write(&archive, scratch, &kernel.module(), &programs, &plan);
        let ending = machine::boot(&kernel, &archive, dir, LIMIT);
        // The next one is made anew, and it is large.
        fs::remove_file(&archive).ok();
        ending
    }
}

/// Keeps this run and the latest few before it.
fn remove_old_runs(scratch: &Path) {
    let entries = fs::read_dir(scratch).into_iter().flatten().flatten();
    let mut runs: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    runs.sort();
    let old = runs.len().saturating_sub(KEPT + 1);
    for (_, run) in &runs[..old] {
        fs::remove_dir_all(run).ok();
    }
}

/// A text that may not be there, or not be all text.
fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}

/// What the kernel said from the beginning of one test to that of the next.
fn messages(console: &str, test: &str) -> String {
    let own = marker(test);
    let lines = console.lines().skip_while(|line| !line.ends_with(&own)).skip(1);
    lines.take_while(|line| !line.contains(MARK)).collect::<Vec<_>>().join("\n")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
