//! A running server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Instant;

use crate::PATIENCE;
use crate::daemon::Daemon;
use crate::guard::Guard;
use crate::listener::{Address, Listener, Transport};
use crate::spawner;
use crate::tool::Tool;
use crate::watch::Watch;

/// Passes the listening socket (its standard input) on as file descriptor 3, as socket activation
/// has it. `LISTEN_PID` must be the server's own number, and `exec` keeps the shell's.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;

/// A running server. It ends, and its directory goes, when this value is dropped.
///
/// If that happens in a panic, what the server wrote to standard error is printed.
#[derive(Debug)]
pub struct Server {
    tool: Tool,
    address: Address,
    export: String,
    data: Option<PathBuf>,
    command_line: String,
    run: Run,
    started: bool,
    guard: Guard,
}

#[derive(Debug)]
enum Run {
    /// A child, which was given the listening socket.
    Activated(Child),
    /// A server in the background.
    Daemon(Daemon),
    Over,
}

/// All that the kinds of servers have in common before they start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(crate) transport: Transport,
    pub(crate) export: String,
}

impl Server {
    /// Starts a server that takes its listening socket by socket activation, and waits until it
    /// has written the file `pid` in its directory: then it has swallowed its arguments.
    pub(crate) fn activated(
        tool: Tool,
        common: Common,
        guard: Guard,
        data: Option<PathBuf>,
        args: Vec<OsString>,
    ) -> Self {
        let listener = Listener::bind(common.transport, guard.dir());
        let address = listener.address.clone();
        let log = log_file(guard.dir());
        let watch = Watch::new(guard.dir());
        let command_line = command_line(tool, &args, guard.dir());
        let mut command = Command::new("sh");
        command
            .args(["-c", ACTIVATE, "sh"])
            .arg(tool.path().expect("the program was there a moment ago"))
            .args(args)
            .env("LC_ALL", "C")
            .stdin(listener.into_fd())
            .stdout(log.try_clone().expect("duplicate a file descriptor"))
            .stderr(log);
        guard.adopt(&mut command);
        let run = Run::Activated(spawner::spawn(command).expect("start a shell"));
        let mut server = Self { tool, address, export: common.export, data, command_line, run, started: false, guard };
        server.await_pid_file(&watch);
        server.started = true;
        server
    }

    /// Starts a server that goes to the background and listens by itself.
    pub(crate) fn daemon(tool: Tool, address: Address, export: String, guard: Guard, data: Option<PathBuf>) -> Self {
        let command_line = command_line(tool, &["-C".into(), guard.dir().join("config").into()], guard.dir());
        let mut server = Self { tool, address, export, data, command_line, run: Run::Over, started: false, guard };
        match Daemon::start(&mut server.guard, &server.address) {
            Ok(daemon) => server.run = Run::Daemon(daemon),
            Err(what) => panic!("{tool} did not start: {what}{}", server.said()),
        }
        server.started = true;
        server
    }

    fn await_pid_file(&mut self, watch: &Watch) {
        let pid_file = self.guard.dir().join("pid");
        let start = Instant::now();
        while !fs::metadata(&pid_file).is_ok_and(|meta| meta.len() > 0) {
            if let Some(status) = self.exit_status() {
                panic!("{} did not start: {status}{}", self.tool, self.said());
            }
            assert!(start.elapsed() < PATIENCE, "{} hangs at start{}", self.tool, self.said());
            watch.wait();
        }
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        match &mut self.run {
            Run::Activated(child) => child.try_wait().expect("wait for a child"),
            Run::Daemon(_) | Run::Over => None,
        }
    }

    /// The URI of the export that the server was started with.
    pub fn uri(&self) -> String {
        self.uri_of(&self.export)
    }

    /// The URI of an export of this name.
    pub fn uri_of(&self, export: &str) -> String {
        self.address.uri(export)
    }

    /// The name of the export that the server was started with.
    pub fn export(&self) -> &str {
        &self.export
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// The command that started it, for people. Its private directory is called `DIR`.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// The server's Unix socket.
    ///
    /// # Panics
    /// If it listens on TCP.
    pub fn socket(&self) -> &Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("the server listens on {address}"),
        }
    }

    /// The server's TCP address.
    ///
    /// # Panics
    /// If it listens on a Unix socket.
    pub fn tcp_address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("the server listens on {}", path.display()),
        }
    }

    /// The file behind the (first) export.
    ///
    /// # Panics
    /// If there is none.
    pub fn data_path(&self) -> &Path {
        self.data.as_deref().expect("no file is behind this export")
    }

    /// The server's private directory, which goes when the server goes. A test may use it too.
    pub fn dir(&self) -> &Path {
        self.guard.dir()
    }

    /// The server's process id; `None` once it was killed.
    pub fn pid(&self) -> Option<u32> {
        match &self.run {
            Run::Activated(child) => Some(child.id()),
            Run::Daemon(daemon) => Some(daemon.pid.as_raw_nonzero().get().unsigned_abs()),
            Run::Over => None,
        }
    }

    /// The process id of the guard that cleans up after this process.
    pub fn guard_pid(&self) -> u32 {
        self.guard.group().as_raw_nonzero().get().unsigned_abs()
    }

    /// What the server has written to standard error so far.
    pub fn stderr(&self) -> String {
        let text = fs::read(self.guard.dir().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Kills the server, connections and all, and waits for its end. Its files stay until the drop.
    pub fn kill(&mut self) {
        match std::mem::replace(&mut self.run, Run::Over) {
            Run::Activated(mut child) => {
                self.guard.kill();
                child.wait().ok();
            }
            Run::Daemon(daemon) => {
                daemon.kill();
                self.guard.kill();
            }
            Run::Over => {}
        }
    }

    fn said(&self) -> String {
        match self.stderr() {
            text if text.trim().is_empty() => "; it wrote nothing to standard error".to_owned(),
            text => format!("; it wrote to standard error:\n{}", text.trim_end()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // A panic at start has said it already.
        if self.started && thread::panicking() && !self.stderr().trim().is_empty() {
            eprintln!("{} at {}{}", self.tool, self.uri(), self.said());
        }
    }
}

fn command_line(tool: Tool, args: &[OsString], dir: &Path) -> String {
    let dir = dir.to_string_lossy();
    let words = args.iter().map(|arg| {
        let arg = arg.to_string_lossy().replace(&*dir, "DIR");
        if arg.is_empty() || arg.contains([' ', '\'', '"', '$']) { format!("{arg:?}") } else { arg }
    });
    std::iter::once(tool.to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

fn log_file(dir: &Path) -> File {
    File::options().create(true).append(true).open(dir.join("stderr")).expect("create the file for standard error")
}
