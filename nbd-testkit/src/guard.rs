//! One server's process group and directory, and the guard process that outlives the test.
//!
//! The guard is a small shell that leads the process group every process of the server joins. It
//! waits on a pipe whose other end only the test's process holds. That end closes when the process
//! dies, even by SIGKILL; then the guard removes the directory and kills the group, itself with
//! it. (A parent-death signal would not do: it fires when the *thread* that spawned the child
//! ends, it does not reach the children that a server forks, and it removes no directory.)
//!
//! A server that goes to the background would leave the group: see [`crate::daemon`].

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::listener::wait_readable;

/// The arguments: the directory and, for a server that goes to the background, its program.
///
/// A line on the pipe says that the daemon is to be started. If that works, its number is in `pid`
/// by and by.
const SCRIPT: &str = r#"
dir=$1 program=$2 status=none
if read -r _; then
    "$program" -C "$dir/config" -p "$dir/pid" </dev/null 2>>"$dir/stderr"
    status=$?
    echo "$status" >"$dir/status"
    read -r _
fi
tries=0
while [ "$status" = 0 ] && ! [ -s "$dir/pid" ] && [ "$tries" -lt 1000 ]; do
    sleep 0.01
    tries=$((tries + 1))
done
[ "$status" = 0 ] && kill -s KILL -- "-$(cat "$dir/pid")"
rm -rf -- "$dir"
kill -s KILL 0
"#;

/// Paths of Unix sockets end after 107 bytes; this leaves room for the file's name.
const LONGEST_DIR: usize = 90;

/// How many random characters the name of a directory ends in.
const RANDOM: usize = 6;

#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    alive: bool,
    daemon: bool,
    dir: TempDir,
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self::with_daemon(Path::new(""))
    }

    /// One that can start this program, which goes to the background and wants its configuration
    /// in the file `config`.
    pub(crate) fn with_daemon(program: &Path) -> Self {
        let dir = scratch_dir();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "nbd-testkit-guard"])
            .arg(dir.path())
            .arg(program)
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the guard shell");
        Self { shell, alive: true, daemon: false, dir }
    }

    /// The directory that goes with the server.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the command's process a member of the group. If the group is dead, it will not start.
    pub(crate) fn adopt(&self, command: &mut Command) {
        command.process_group(self.group().as_raw_nonzero().get());
    }

    pub(crate) fn group(&self) -> Pid {
        Pid::from_child(&self.shell)
    }

    /// Starts the daemon. A file `status` will hold the status that its foreground part ends with.
    pub(crate) fn start_daemon(&mut self) {
        self.daemon = true;
        let pipe = self.shell.stdin.as_mut().expect("the pipe is open as long as the guard lives");
        pipe.write_all(b"start\n").expect("the guard lives");
    }

    /// Kills everything in the group. The directory stays until the guard is dropped.
    pub(crate) fn kill(&mut self) {
        // Once only: when the shell has been waited for, its number may belong to someone else.
        if self.alive {
            self.alive = false;
            kill_process_group(self.group(), Signal::KILL).ok();
            self.shell.wait().ok();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.alive && self.daemon {
            // Nobody has killed the daemon, perhaps because its start went wrong half-way. The
            // shell knows how; in the end it kills itself.
            drop(self.shell.stdin.take());
            if let Ok(shell) = pidfd_open(self.group(), PidfdFlags::empty()) {
                wait_readable(&[shell.as_fd()], Some(PATIENCE));
            }
        }
        self.kill();
    }
}

fn scratch_dir() -> TempDir {
    let mut base = std::env::temp_dir();
    if base.as_os_str().len() > LONGEST_DIR - "/nbd-testkit-".len() - RANDOM {
        base = PathBuf::from("/tmp");
    }
    tempfile::Builder::new()
        .prefix("nbd-testkit-")
        .rand_bytes(RANDOM)
        .tempdir_in(&base)
        .unwrap_or_else(|error| panic!("make a directory in {}: {error}", base.display()))
}
