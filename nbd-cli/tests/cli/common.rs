//! Runs the command.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use nbd_testkit::{Nbdkit, Server};

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nbd"));
    command.env_remove("NBD_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) errors: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self { code: output.status.code(), bytes: output.stdout, errors: String::from_utf8(output.stderr).unwrap() }
    }
}

impl Run {
    /// Standard output, which must be text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// Of a run that must have gone well and said nothing else.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.code, &self.errors[..]), (Some(0), ""), "{self:?}");
        self
    }

    /// The one line on standard error of a run that must have failed.
    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.errors.starts_with("nbd: ") && self.errors.ends_with('\n'), "{self:?}");
        assert_eq!(self.errors.lines().count(), 1, "{self:?}");
        assert!(!self.errors.trim_end().chars().any(char::is_control), "{self:?}");
        self.errors
    }
}

pub(crate) fn nbd<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    command().args(args).output().unwrap().into()
}

/// Runs with these bytes on standard input.
pub(crate) fn nbd_fed<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &[u8]) -> Run {
    let mut child =
        command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // A command that fails early leaves the rest.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap().into()
    })
}

#[track_caller]
pub(crate) fn copy(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    nbd([OsStr::new("copy"), from.as_ref(), to.as_ref()]).ok();
}

/// What an export reads as now, by the other command's word. That one minds no server's block sizes.
#[track_caller]
pub(crate) fn read_back(uri: &str) -> Vec<u8> {
    let output = nbd_testkit::Tool::Nbdcopy
        .command()
        .expect("nbdcopy")
        .args(["--request-size=65536", "--no-extents", uri, "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "length");
    if let Some(at) = got.iter().zip(expected).position(|(got, expected)| got != expected) {
        panic!("first difference at byte {at}");
    }
}

#[track_caller]
pub(crate) fn assert_file(path: &Path, expected: &[u8]) {
    assert_same(&std::fs::read(path).unwrap(), expected);
}

/// How many bytes of a file take up room.
pub(crate) fn allocated(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    // What was written may be given its place only now.
    file.sync_all().unwrap();
    file.metadata().unwrap().blocks() * 512
}

/// A server with `len` bytes of garbage.
pub(crate) fn full_of_garbage(len: u64) -> Option<Server> {
    let server = memory(Nbdkit::memory(&len.to_string()))?;
    let garbage = vec![0xa5; usize::try_from(len).unwrap()];
    nbd_fed(["copy", "-", &server.uri()], &garbage).ok();
    Some(server)
}

/// A server whose contents outlive a connection, and which is compared by means of `nbdcopy`.
pub(crate) fn memory(nbdkit: Nbdkit) -> Option<Server> {
    if !nbd_testkit::require(&[nbd_testkit::Tool::Nbdcopy]) {
        return None;
    }
    nbdkit.start()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A server's answer to an option.
pub(crate) fn option_reply(option: u32, reply: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let magic = 0x0003_e889_0455_65a9_u64.to_be_bytes();
    [&magic[..], &option.to_be_bytes(), &reply.to_be_bytes(), &length, payload].concat()
}
