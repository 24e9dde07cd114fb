//! Runs the command, and looks at what it leaves.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use nbd_kernel::{DeviceId, Interface};
use rustix::process::Pid;

use crate::support::{is_attached, until};

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new("nbd");
    command.args(args).stdin(Stdio::null());
    command
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// What a run printed that must have gone well and said nothing else.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, &self.errors[..]), (Some(0), ""), "{self:?}");
        self.text
    }

    /// The one line on standard error of a run that must have failed.
    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.code, &self.text[..]), (Some(1), ""), "{self:?}");
        assert!(self.errors.starts_with("nbd: ") && self.errors.lines().count() == 1, "{self:?}");
        self.errors
    }
}

/// Returns when standard output and standard error have no owner any more, not only when the command has.
pub(crate) fn nbd(args: &[&str]) -> Run {
    command(args).output().unwrap().into()
}

/// With the option for an interface.
pub(crate) fn attaching(interface: Interface, args: &[&str]) -> Command {
    let option = match interface {
        Interface::Ioctl => "--ioctl",
        Interface::Netlink => "--netlink",
    };
    command(&[&["attach", option], args].concat())
}

/// A run that may go wrong.
pub(crate) fn try_attach(interface: Interface, args: &[&str]) -> Run {
    attaching(interface, args).output().unwrap().into()
}

/// The device that was printed, by a run without a complaint.
#[track_caller]
pub(crate) fn attach(interface: Interface, args: &[&str]) -> DeviceId {
    device(&try_attach(interface, args).ok())
}

/// The device on the one line that was printed.
#[track_caller]
pub(crate) fn device(printed: &str) -> DeviceId {
    let line = printed.strip_suffix('\n').unwrap();
    assert!(line.starts_with("/dev/nbd"), "{line}");
    line.parse().unwrap()
}

/// Processes of `nbd attach` that have not ended.
pub(crate) fn staying() -> Vec<Pid> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let attaches = |id: &i32| {
        // Of one that has ended meanwhile there is nothing to be read.
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        words.next().is_some_and(|name| name.ends_with(b"nbd")) && words.next() == Some(b"attach")
    };
    ids.filter(attaches).filter_map(Pid::from_raw).collect()
}

/// The one that stays.
#[track_caller]
pub(crate) fn stayer() -> Pid {
    let staying = staying();
    let [process] = staying[..] else { panic!("{staying:?}") };
    process
}

/// Waits until nothing is left of a device: no process, no note, and the kernel has none.
pub(crate) fn until_gone(device: DeviceId) {
    until(|| !is_attached(device) && staying().is_empty() && notes() == 0);
}

/// How many files there are about devices.
pub(crate) fn notes() -> usize {
    let notes = fs::read_dir("/run/nbd").into_iter().flatten().map(|note| note.unwrap().path());
    // What was lowered on a device stays lowered, and so does the note about it.
    notes.filter(|note| note.extension().is_none_or(|extension| extension != "lowered")).count()
}

/// Reads a line of what a process prints.
pub(crate) fn line(source: &mut impl std::io::Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        source.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

/// What came of a process that was started with pipes.
pub(crate) fn ended(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}
