//! A server of ours that can be killed, hung, and started again.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::nbd_proto::uri::NbdUri;
use nbd_kernel::{Connection, Error};
use rustix::process::{Pid, Signal, kill_process};

/// The disk's file, which outlives the server.
pub(crate) const DISK: &str = "/tmp/disk";

/// A process that serves [`DISK`].
pub(crate) struct Served {
    child: Child,
    pub(crate) uri: NbdUri,
}

impl Served {
    /// With a new disk of this size.
    pub(crate) fn new(size: u64) -> Self {
        set_size(size);
        Self::start()
    }

    /// With the disk that is there.
    pub(crate) fn start() -> Self {
        let mut child = Command::new("nbd")
            .args(["serve", "--unix", "/tmp/served", &format!("file:{DISK}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut uri = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut uri).unwrap();
        Self { child, uri: NbdUri::parse(uri.trim_end()).unwrap() }
    }

    pub(crate) fn connect(&self) -> Connection {
        connect(&self.uri).unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It is there and does nothing.
    pub(crate) fn hang(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
        // Each of its threads stops when it gets to it.
        while !self.is_stopped() {
            thread::yield_now();
        }
    }

    fn is_stopped(&self) -> bool {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().all(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            status.lines().any(|line| line.starts_with("State:\tT"))
        })
    }
}

/// The disk's size, for the next server.
pub(crate) fn set_size(size: u64) {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(DISK).unwrap();
    file.set_len(size).unwrap();
}

pub(crate) fn connect(uri: &NbdUri) -> Result<Connection, Error> {
    Connection::open(uri, &ConnectOptions::new())
}
