//! Runs `nbd serve` beside a test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use nbd_testkit::HANG;
pub(crate) use nbd_testkit::must_end;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Run, command};

/// A running `nbd serve`. It ends with this value.
pub(crate) struct Serving {
    child: Option<Child>,
    output: Option<BufReader<ChildStdout>>,
    pid: Pid,
}

impl Serving {
    pub(crate) fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::spawn(command().arg("serve").args(args))
    }

    pub(crate) fn spawn(serve: &mut Command) -> Self {
        Self::adopt(serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// One that was started with a standard output to read from.
    pub(crate) fn adopt(mut child: Child) -> Self {
        let output = child.stdout.take().map(BufReader::new);
        let pid = Pid::from_child(&child);
        Self { child: Some(child), output, pid }
    }

    /// Where the system tells about its process.
    pub(crate) fn proc(&self) -> PathBuf {
        format!("/proc/{}", self.pid.as_raw_pid()).into()
    }

    /// The next line that it prints: a URI, and then clients can connect.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.next_line() {
            Some(line) => line,
            None => panic!("it did not print a line: {:?}", self.end()),
        }
    }

    /// The same, or `None` if it ended without one.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut output = self.output.take().unwrap();
        let (output, line) = must_end(move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            (output, line)
        });
        self.output = Some(output);
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// Waits until it has printed anything.
    pub(crate) fn await_output(&mut self) {
        let mut output = self.output.take().unwrap();
        self.output = Some(must_end(move || {
            output.fill_buf().unwrap();
            output
        }));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until it has ended, and nobody is left who could print. With the rest of what was printed.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Run {
        let (child, mut output) = (self.child.take().unwrap(), self.output.take().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            // Without the part that was taken.
            let run: Run = child.wait_with_output().unwrap().into();
            sender.send(Run { bytes, ..run }).unwrap();
        });
        receiver.recv_timeout(HANG).unwrap_or_else(|_| {
            kill_process(self.pid, Signal::KILL).ok();
            panic!("nbd serve does not end");
        })
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Run {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
