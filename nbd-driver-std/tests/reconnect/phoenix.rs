//! A server that is killed, and comes back at the same place with what it had written.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nbd_driver_std::{ConnectOptions, Reconnect};
use nbd_testkit::{HANG, Tool};
use tempfile::TempDir;

/// Which server it is.
#[derive(Clone, Debug)]
pub(crate) enum Bird {
    /// nbdkit with a file.
    Nbdkit,
    /// The same, where what it is sent before a flush is lost with it.
    Forgetful,
    /// The command `nbd serve` with a file.
    #[allow(dead_code, reason = "not every test that uses this file has that command")]
    Ours(PathBuf),
}

/// A server with a file, at one place.
pub(crate) struct Phoenix {
    dir: TempDir,
    bird: Bird,
    child: Option<Child>,
}

impl Phoenix {
    /// Not started yet. `None` where there is no nbdkit.
    pub(crate) fn new(size: u64, bird: Bird) -> Option<Self> {
        if !matches!(bird, Bird::Ours(_)) {
            Tool::Nbdkit.command()?;
        }
        let phoenix = Self { dir: tempfile::tempdir().unwrap(), bird, child: None };
        phoenix.file().set_len(size).unwrap();
        Some(phoenix)
    }

    pub(crate) fn start(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let mut command = match &self.bird {
            Bird::Ours(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--unix"]).arg(self.socket()).arg(format!("file:{}", self.path().display()));
                command
            }
            Bird::Nbdkit | Bird::Forgetful => {
                let mut command = Tool::Nbdkit.command().unwrap();
                command.arg("--exit-with-parent").arg("-f").arg("-U").arg(self.socket());
                if matches!(self.bird, Bird::Forgetful) {
                    command.arg("--filter=cache").arg("file").arg(self.path()).arg("cache=writeback");
                } else {
                    command.arg("file").arg(self.path());
                }
                command
            }
        };
        self.child = Some(spawn(&mut command));
        await_greeting(&self.socket());
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn rise(&mut self) {
        self.kill();
        self.start();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    pub(crate) fn file(&self) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(self.path()).unwrap()
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket().display())
    }
}

impl Drop for Phoenix {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// nbdkit ends with the thread that has started it, so that has to be one that stays.
fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// There is no event for a socket that a stranger makes.
fn await_greeting(socket: &Path) {
    let started = std::time::Instant::now();
    loop {
        let greeted = UnixStream::connect(socket).and_then(|mut stream| stream.read_exact(&mut [0; 18]));
        if greeted.is_ok() {
            return;
        }
        assert!(started.elapsed() < HANG, "the server does not start");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Options of a client that does not give up before the test does, and loses no time.
pub(crate) fn options() -> ConnectOptions {
    let policy = Reconnect::new().first_delay(Duration::from_millis(2)).max_delay(Duration::from_millis(50));
    ConnectOptions::new().reconnect(Some(policy.total_time(Some(HANG))))
}
