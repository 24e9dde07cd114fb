//! A server that insists on going to the background.
//!
//! It leaves its process group and its parent. So the guard starts it, and knows it by the file
//! that it writes its number to: even if the test's process is killed at that very moment, the
//! guard sees the start through, and then ends the daemon.

use std::fs;
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::PATIENCE;
use crate::guard::Guard;
use crate::listener::{Address, wait_readable};
use crate::watch::Watch;

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) pid: Pid,
    /// Readable once the process has ended.
    process: OwnedFd,
}

impl Daemon {
    /// Starts it, and waits until it greets a client; `Err` says what went wrong.
    pub(crate) fn start(guard: &mut Guard, address: &Address) -> Result<Self, String> {
        let start = Instant::now();
        let watch = Watch::new(guard.dir());
        guard.start_daemon();
        let pid = loop {
            if let Some(status) = number(&guard.dir().join("status")) {
                if status != 0 {
                    return Err(format!("exit status: {status}"));
                }
                if let Some(pid) = number(&guard.dir().join("pid")).and_then(Pid::from_raw) {
                    break pid;
                }
            }
            if start.elapsed() > PATIENCE {
                return Err("it hangs".to_owned());
            }
            watch.wait();
        };
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
        let daemon = Self { pid, process };
        // Before its first greeting it computes something that can take a second or more. A client
        // with a time-out should not meet that.
        while let Err(error) = greeting(address) {
            // Nothing tells when it listens, so it is tried again and again.
            if daemon.has_ended(Duration::from_millis(1)) {
                return Err("it ended".to_owned());
            }
            if start.elapsed() > PATIENCE {
                return Err(error.to_string());
            }
        }
        Ok(daemon)
    }

    fn has_ended(&self, timeout: Duration) -> bool {
        wait_readable(&[self.process.as_fd()], Some(timeout)).is_some()
    }

    /// Kills it, with the processes that it has forked, and waits for its end.
    pub(crate) fn kill(&self) {
        // While it lives the number is its own.
        if !self.has_ended(Duration::ZERO) {
            kill_process_group(self.pid, Signal::KILL).ok();
            self.has_ended(PATIENCE);
        }
    }
}

/// The number that a file consists of, once it is written whole.
fn number(file: &Path) -> Option<i32> {
    fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok()
}

fn greeting(address: &Address) -> io::Result<()> {
    let mut magic = [0; 8];
    match address {
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_exact(&mut magic)
        }
        Address::Tcp(address) => {
            let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_exact(&mut magic)
        }
    }
}
