//! `--run`: the command that the server is there for.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{self, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nbd_driver_std::server::Listener;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, test_kill_process_group, waitid,
};

use super::events::{Event, Events};

const SHELL: &str = "/bin/sh";

/// The command with its environment.
pub(super) fn prepare(line: &OsStr, uris: &[String], sockets: &[Listener]) -> Command {
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(line);
    // What is not set must not be another server's.
    command.env_remove("uri").env_remove("unixsocket").env_remove("port");
    command.envs(uris.first().map(|uri| ("uri", uri)));
    if let Some(socket) = sockets.first() {
        command.envs(socket.unix_path().map(|path| ("unixsocket", path)));
        command.envs(socket.port().map(|port| ("port", port.to_string())));
    }
    command
}

#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    /// On a terminal the command belongs to the group in front, so that it can read, and Ctrl-C reaches it. Elsewhere it
    /// has a group of its own, so that signals reach what it starts.
    own_group: bool,
    ended: bool,
}

impl Child {
    pub(super) fn start(command: &mut Command, events: &Events) -> anyhow::Result<Self> {
        let own_group = !io::stdin().is_terminal();
        if own_group {
            command.process_group(0);
        }
        let process = command.spawn().with_context(|| format!("--run: starting {SHELL}"))?;
        let child = Self { process, own_group, ended: false };
        let pid = child.pid();
        events.source("nbd-command", move |sender| {
            // It stays there to be waited for, so that its number is nobody else's.
            let wait = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let _ = rustix::io::retry_on_intr(wait);
            let _ = sender.send(Event::CommandEnded);
        })?;
        Ok(child)
    }

    /// Whether it gets this signal without our help.
    pub(super) fn has_its_own(&self, signal: Signal) -> bool {
        !self.own_group && signal == Signal::INT
    }

    pub(super) fn send(&self, signal: Signal) {
        // It may have ended just now, and then there is nobody to get it.
        let _ = if self.own_group { kill_process_group(self.pid(), signal) } else { kill_process(self.pid(), signal) };
    }

    /// What a shell would call its end. It must have ended, or be about to.
    pub(super) fn exit_code(&mut self) -> anyhow::Result<u8> {
        let status = self.process.wait().context("--run: waiting for the command")?;
        self.ended = true;
        Ok(code(status))
    }

    /// Waits until what it has started, and has not waited for, has ended; what is there at the deadline is killed.
    pub(super) fn end_group(&self, deadline: Instant) {
        while self.own_group && test_kill_process_group(self.pid()).is_ok() {
            if Instant::now() >= deadline {
                self.send(Signal::KILL);
                return;
            }
            // The system tells nobody of the end of a group.
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

/// Nothing stays behind, whatever went wrong.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.send(Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::code;

    #[test]
    fn the_end_by_a_signal_has_a_code_as_in_a_shell() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
