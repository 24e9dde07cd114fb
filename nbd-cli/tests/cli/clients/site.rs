//! A server that a client of another project is sent to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nbd_driver_std::Client;
use nbd_testkit::sparse_file;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::command;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// What keeps the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Memory,
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Unix,
    Tcp,
}

/// The best that the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    Simple,
    Structured,
    Extended,
}

impl Replies {
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Simple => Some("--no-structured-replies"),
            Self::Structured => Some("--no-extended-headers"),
            Self::Extended => None,
        }
    }

    /// The word in the server's log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Structured => "structured",
            Self::Extended => "extended",
        }
    }
}

/// A way to serve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) keeper: Keeper,
    pub(super) transport: Transport,
    pub(super) replies: Replies,
}

impl Way {
    /// Each two of the choices meet.
    pub(super) const ALL: [Self; 6] = [
        Self::new(Keeper::Memory, Transport::Unix, Replies::Extended),
        Self::new(Keeper::Memory, Transport::Tcp, Replies::Structured),
        Self::new(Keeper::Memory, Transport::Unix, Replies::Simple),
        Self::new(Keeper::File, Transport::Tcp, Replies::Extended),
        Self::new(Keeper::File, Transport::Unix, Replies::Structured),
        Self::new(Keeper::File, Transport::Tcp, Replies::Simple),
    ];

    pub(super) const fn new(keeper: Keeper, transport: Transport, replies: Replies) -> Self {
        Self { keeper, transport, replies }
    }

    /// Serves an empty disk of so many bytes.
    pub(super) fn serve(self, size: u64) -> Site {
        self.serve_with(size, &[])
    }

    pub(super) fn serve_with(self, size: u64, options: &[&str]) -> Site {
        Site::start(self, size, options, &[("NBD_LOG", "nbd_driver_std=info")])
    }

    /// The same, and its log has every step of the protocol.
    pub(super) fn serve_traced(self, size: u64) -> Site {
        Site::start(self, size, &[], &[("NBD_LOG", "nbd_driver_std=trace")])
    }

    /// The same as [`serve_with`](Self::serve_with), and what the server frees goes back to the system at once: so what
    /// the system sees is what the server holds, and not what glibc keeps for the next thread (tens of MiB).
    pub(super) fn serve_measured(self, size: u64, options: &[&str]) -> Site {
        let log = ("NBD_LOG", "nbd_driver_std=info");
        Site::start(
            self,
            size,
            options,
            &[log, ("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "65536")],
        )
    }
}

pub(super) struct Site {
    server: Serving,
    pub(super) uri: String,
    pub(super) dir: TempDir,
    way: Way,
}

impl Site {
    fn start(way: Way, size: u64, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listen = match way.transport {
            Transport::Unix => format!("--unix={}", socket_in(dir.path())),
            Transport::Tcp => "--tcp=127.0.0.1:0".to_owned(),
        };
        let backend = match way.keeper {
            Keeper::Memory => format!("memory:{size}"),
            Keeper::File => {
                let image = dir.path().join("served");
                sparse_file::<&[u8]>(&image, size, &[]);
                format!("file:{}", image.display())
            }
        };
        let mut serve = command();
        serve.arg("serve").arg(listen).args(way.replies.option()).args(options).arg(backend);
        // A file takes any amount without a reader.
        let log = File::create(dir.path().join("log")).unwrap();
        serve.envs(environment.iter().copied());
        let mut server = Serving::adopt(serve.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
        let uri = server.line();
        Self { server, uri, dir, way }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The file that is served.
    pub(super) fn served(&self) -> PathBuf {
        assert_eq!(self.way.keeper, Keeper::File);
        self.path("served")
    }

    /// All bytes: of a file as the system has them, otherwise as our own client is told.
    pub(super) fn contents(&self) -> Vec<u8> {
        match self.way.keeper {
            Keeper::File => fs::read(self.served()).unwrap(),
            Keeper::Memory => {
                let client = Client::connect(&self.uri).unwrap();
                let mut bytes = vec![0; usize::try_from(client.size()).unwrap()];
                for (at, part) in (0..).step_by(1 << 20).zip(bytes.chunks_mut(1 << 20)) {
                    client.read_at(part, at).unwrap();
                }
                client.shutdown().unwrap();
                bytes
            }
        }
    }

    /// Writes so with our own client.
    pub(super) fn fill(&self, data: &[(u64, Vec<u8>)]) {
        let client = Client::connect(&self.uri).unwrap();
        for (offset, bytes) in data {
            client.write_at(bytes, *offset).unwrap();
        }
        client.shutdown().unwrap();
    }

    /// How many clients have used an export until now.
    pub(super) fn clients(&self) -> usize {
        self.log().replies().len()
    }

    fn log(&self) -> Log {
        Log(fs::read_to_string(self.dir.path().join("log")).unwrap())
    }

    /// Where the system tells about the server's process.
    pub(super) fn proc(&self) -> PathBuf {
        self.server.proc()
    }

    /// Ends it. It must have had nothing to complain about. With its log.
    #[track_caller]
    pub(super) fn end(self) -> Log {
        let way = self.way;
        let log = self.end_with_complaints();
        let complaint = log.0.lines().find(|line| line.contains(" WARN ") || line.contains(" ERROR "));
        assert_eq!(complaint, None, "{way:?}");
        log
    }

    /// The same, but clients may have given it reasons to complain. Of itself it must have none.
    #[track_caller]
    pub(super) fn end_with_complaints(mut self) -> Log {
        self.server.signal(Signal::TERM);
        self.server.end().ok();
        let log = self.log();
        assert_eq!(log.0.lines().find(|line| line.contains(" ERROR ")), None, "{:?}", self.way);
        log
    }
}

/// What the server logged.
pub(super) struct Log(String);

impl Log {
    /// The style of replies that was agreed on, for each client that used an export.
    pub(super) fn replies(&self) -> Vec<&str> {
        let clients = self.0.lines().filter(|line| line.contains("a client uses an export"));
        clients.map(|line| line.split(" replies=").nth(1).unwrap().split(' ').next().unwrap()).collect()
    }

    /// Every client used the best that was offered.
    #[track_caller]
    pub(super) fn assert_agreed(&self, best: Replies) {
        let agreed = self.replies();
        assert!(!agreed.is_empty() && agreed.iter().all(|word| *word == best.word()), "{best:?}: {agreed:?}");
    }

    /// The same, for clients of libnbd, of which not every version knows extended headers.
    #[track_caller]
    pub(super) fn assert_agreed_by_libnbd(&self, best: Replies) {
        let agreed = self.replies();
        let fits = |word: &str| word == best.word() || best == Replies::Extended && word == Replies::Structured.word();
        assert!(!agreed.is_empty() && agreed.iter().all(|word| fits(word)), "{best:?}: {agreed:?}");
    }

    /// Whether a request came of this command, with these flags, as the trace prints them.
    pub(super) fn has_request(&self, command: &str, flags: &str) -> bool {
        let (command, flags) = (format!("({command},"), format!("CommandFlags({flags})"));
        let mut requests = self.0.lines().filter(|line| line.contains(" step=Request("));
        requests.any(|line| line.contains(&command) && line.contains(&flags))
    }
}

/// Runs a program, which must end.
pub(super) fn output(mut command: Command) -> Output {
    must_end(move || command.stdin(Stdio::null()).output().unwrap())
}

/// What a program prints on standard output, if it succeeds.
#[track_caller]
pub(super) fn text(command: Command) -> String {
    let shown = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{shown}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}
