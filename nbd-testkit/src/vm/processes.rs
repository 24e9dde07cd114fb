//! The processes of the guest that a test has left running.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::listener::wait_readable;

/// After this long, a killed process is one that cannot be killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The flag of the kernel's own threads, in their `stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Kills everything but this process and the first, and returns those that do not end.
pub(crate) fn kill_all() -> BTreeSet<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = others();
        let remaining = deadline.saturating_duration_since(Instant::now());
        if left.is_empty() || remaining.is_zero() {
            return left;
        }
        // All at once, so that none starts another one meanwhile.
        for &id in &left {
            if let Some(pid) = Pid::from_raw(id) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        for process in left.into_iter().filter_map(Pid::from_raw) {
            if let Ok(process) = pidfd_open(process, PidfdFlags::empty()) {
                wait_readable(&[process.as_fd()], Some(deadline.saturating_duration_since(Instant::now())));
            }
        }
    }
}

/// Those processes, what they are and where in the kernel they are, for a person to read.
pub(crate) fn describe(ids: &BTreeSet<i32>) -> String {
    let mut text = String::new();
    for id in ids {
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        for thread in threads.map(|entry| entry.path()) {
            let read = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
            let state = Stat::read(&thread).map_or('?', |stat| stat.state);
            let command = read("comm");
            writeln!(text, "process {id}, state {state}: {}", command.trim_end()).expect("a String takes everything");
            text.push_str(&read("stack"));
        }
    }
    text
}

/// All of them but the first, this one, the kernel's threads, and those that have ended.
pub(crate) fn others() -> BTreeSet<i32> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let ids = fs::read_dir("/proc").expect("list processes").flatten();
    ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&id| id != 1 && id != own)
        .filter(|id| Stat::read(Path::new(&format!("/proc/{id}"))).is_some_and(|stat| stat.counts()))
        .collect()
}

struct Stat {
    state: char,
    flags: u64,
}

impl Stat {
    fn read(process: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(process.join("stat")).ok()?)
    }

    /// The command's name comes in brackets, and may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        Some(Self { state: words.next()?.chars().next()?, flags: words.nth(5)?.parse().ok()? })
    }

    fn counts(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') && self.flags & KERNEL_THREAD == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Stat, others};

    #[test]
    fn state_and_flags_are_found_behind_any_name() {
        let stat = Stat::parse("7 (a) Z (b) D 1 7 7 0 -1 4194560 90 0").unwrap();
        assert_eq!((stat.state, stat.flags), ('D', 4_194_560));
    }

    #[test]
    fn a_child_is_another_process_and_this_one_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let others = others();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(others.contains(&i32::try_from(child.id()).unwrap()));
        assert!(!others.contains(&i32::try_from(std::process::id()).unwrap()));
    }
}
