//! A server that is killed, and comes back at the same place with what it had written.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::guard::Guard;
use crate::watch::Watch;
use crate::{PATIENCE, Tool, spawner};

/// Which server a [`Phoenix`] is.
#[derive(Clone, Debug)]
pub enum Bird {
    /// nbdkit with a file.
    Nbdkit,
    /// The same, where what it is sent before a flush is lost with it.
    Forgetful,
    /// The same as the first, where requests have to be made of whole blocks of 4 KiB, no more than 16 at once.
    Picky,
    /// The same as the first, over TCP.
    Tcp,
    /// The command `nbd`, at this path, serving a file.
    Ours(PathBuf),
}

/// A server of one file at one place, which can be killed and started any number of times. It listens by itself,
/// so that there is nobody to connect to in between. It ends with this value, or with the test.
#[derive(Debug)]
pub struct Phoenix {
    bird: Bird,
    /// Where it listens by TCP, if it does.
    address: Option<SocketAddr>,
    child: Option<Child>,
    guard: Guard,
}

impl Phoenix {
    /// With a file of `size` bytes, all zeroes; not started yet. `None` where the server is not installed (see
    /// [`require`](crate::require)).
    pub fn new(size: u64, bird: Bird) -> Option<Self> {
        if !matches!(bird, Bird::Ours(_)) && !crate::require(&[Tool::Nbdkit]) {
            return None;
        }
        let address = matches!(bird, Bird::Tcp).then(own_address);
        let phoenix = Self { bird, address, child: None, guard: Guard::new() };
        phoenix.file().set_len(size).unwrap();
        Some(phoenix)
    }

    /// Starts it, and waits until it listens.
    pub fn start(&mut self) {
        let dir = self.guard.dir();
        for left in ["socket", "pid"] {
            let _ = fs::remove_file(dir.join(left));
        }
        let mut command = match &self.bird {
            Bird::Ours(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--unix"]).arg(self.socket()).arg(format!("file:{}", self.path().display()));
                command
            }
            bird => {
                let mut command = Tool::Nbdkit.command_unchecked();
                command.arg("-f").arg("-P").arg(dir.join("pid"));
                match self.address {
                    Some(address) => command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()]),
                    None => command.arg("-U").arg(self.socket()),
                };
                let (filter, settings): (Option<&str>, &[&str]) = match bird {
                    Bird::Forgetful => (Some("--filter=cache"), &["cache=writeback"]),
                    Bird::Picky => (
                        Some("--filter=blocksize-policy"),
                        &["blocksize-minimum=4K", "blocksize-maximum=64K", "blocksize-error-policy=error"],
                    ),
                    _ => (None, &[]),
                };
                command.args(filter).arg("file").arg(self.path()).args(settings);
                command
            }
        };
        let watch = Watch::new(dir);
        self.guard.adopt(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut child = spawner::spawn(command).unwrap();
        let started = Instant::now();
        match self.bird {
            // It says where it can be reached.
            Bird::Ours(_) => {
                let mut line = String::new();
                BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
                assert!(line.starts_with("nbd"), "nbd serve did not start");
            }
            // It writes its number to a file.
            _ => {
                while !fs::metadata(dir.join("pid")).is_ok_and(|file| file.len() > 0) {
                    assert!(child.try_wait().unwrap().is_none(), "nbdkit did not start");
                    assert!(started.elapsed() < PATIENCE, "nbdkit hangs at start");
                    watch.wait();
                }
            }
        }
        self.child = Some(child);
    }

    /// Kills it by SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills it, and starts it again.
    pub fn rise(&mut self) {
        self.kill();
        self.start();
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.guard.dir().join("disk")
    }

    /// The file.
    pub fn file(&self) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(self.path()).unwrap()
    }

    /// The address of its default export.
    pub fn uri(&self) -> String {
        match self.address {
            Some(address) => format!("nbd://{address}"),
            None => format!("nbd+unix:///?socket={}", self.socket().display()),
        }
    }

    fn socket(&self) -> PathBuf {
        self.guard.dir().join("socket")
    }
}

/// One that nobody else takes in between: the loopback network has an IP address for each process.
fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, high + 1, middle, low), 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Drop for Phoenix {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
