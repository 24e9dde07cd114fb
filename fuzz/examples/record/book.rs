//! Where recordings are kept.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nbd_testkit::{Recorder, Recording, Tool, must_end};

use crate::served::Served;

pub(crate) struct Book {
    folder: PathBuf,
    prefix: String,
    written: Cell<usize>,
}

/// Whoever connects.
pub(crate) struct Guest {
    /// What it calls itself.
    pub(crate) version: String,
    /// How it was called, line by line, for people.
    pub(crate) lines: Vec<String>,
}

impl Book {
    pub(crate) fn new(prefix: String) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
        Self { folder, prefix, written: Cell::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn written(&self) -> usize {
        self.written.get()
    }

    fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    /// Records what `talk` says to a server behind the URI that it is given. Several connections become several files.
    pub(crate) fn record(
        &self,
        name: &str,
        guest: Guest,
        serve: impl FnOnce() -> Served,
        talk: impl FnOnce(&Recorder),
    ) {
        if !self.wants(name) {
            return;
        }
        for old in Recording::read_all(&self.folder).into_iter().map(|(old, _)| old) {
            if old == name || old.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) {
                fs::remove_file(self.folder.join(old + ".rec")).expect("remove an old recording");
            }
        }
        let server = serve();
        let recorder = Recorder::before_unix(&server.socket);
        talk(&recorder);
        let recordings = recorder.finish();
        let alone = recordings.len() == 1;
        for (number, mut recording) in (1..).zip(recordings) {
            let name = if alone { name.to_owned() } else { format!("{name}.{number}") };
            let mut told = Recording::default();
            told.fact("name", &name);
            told.fact("client", &guest.version);
            for line in &guest.lines {
                told.fact("client-command", line);
            }
            told.fact("server", &server.version);
            told.fact("server-command", &server.command);
            for record in recording.records() {
                told.note(record.speaker, &record.bytes);
            }
            recording = told;
            recording.write(&self.folder.join(format!("{name}.rec")));
            println!("{name}: {} bytes", recording.to_bytes().len());
            self.written.set(self.written.get() + 1);
        }
    }

    /// Records what a program says, which has to end with this status. `URI` in its arguments is the server's.
    pub(crate) fn record_program(
        &self,
        name: &str,
        tool: Tool,
        args: &[&str],
        status: i32,
        serve: impl FnOnce() -> Served,
    ) {
        let version = version_of(tool);
        let scratch = std::env::temp_dir();
        let told = args.iter().map(|arg| if Path::new(arg).starts_with(&scratch) { "FILE" } else { arg });
        let lines = vec![std::iter::once(tool.program()).chain(told).collect::<Vec<_>>().join(" ")];
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = |recorder: &Recorder| {
            let args = args.iter().map(|arg| arg.replace("URI", &recorder.uri()));
            let mut command = tool.command().expect("the program");
            command.args(args);
            run(command, status);
        };
        self.record(name, Guest { version, lines }, serve, run);
    }

    /// Records what libnbd says, driven by lines of Python, with `h` and `uri`.
    pub(crate) fn record_python(&self, name: &str, lines: &str, serve: impl FnOnce() -> Served) {
        let told = lines.trim().lines().map(str::to_owned).collect();
        let run = |recorder: &Recorder| {
            let mut command = Tool::Nbdsh.command().expect("nbdsh");
            let uri = format!("uri = {:?}", recorder.uri());
            command.args(["-c", &uri, "-c", lines]);
            run(command, 0);
        };
        self.record(name, Guest { version: version_of(Tool::Nbdsh), lines: told }, serve, run);
    }
}

fn run(mut command: Command, status: i32) {
    command.stdin(Stdio::null()).current_dir(std::env::temp_dir());
    let shown = format!("{command:?}");
    let output = must_end(move || command.output().expect("run a program"));
    assert_eq!(output.status.code(), Some(status), "{shown}: {output:?}");
}

/// The first line of what a program says about itself.
pub(crate) fn version_of(tool: Tool) -> String {
    let option = if tool == Tool::NbdServer { "-V" } else { "--version" };
    let output = tool.command().expect("the program").arg(option).output().expect("run a program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().map(str::trim);
    let program = tool.program();
    match lines.find(|line| !line.is_empty()) {
        Some(line) if line.contains(program) => line.to_owned(),
        Some(line) => format!("{program}, {line}"),
        None => panic!("{program} does not tell its version"),
    }
}
