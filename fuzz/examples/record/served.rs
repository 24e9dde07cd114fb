//! The servers.

use std::any::Any;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Server, Tool, pattern, sparse_file};

use crate::book::version_of;

/// A server that runs as long as this value.
pub(crate) struct Served {
    pub(crate) socket: PathBuf,
    pub(crate) version: String,
    pub(crate) command: String,
    _keep: Box<dyn Any>,
}

pub(crate) const KIB: usize = 1 << 10;

/// Data at the start and in the midst of 64 KiB.
pub(crate) fn holey() -> Disk {
    Disk::empty(64 << 10).data(0, pattern(KIB, 1)).data(32 << 10, pattern(4 * KIB, 2))
}

fn served(tool: Tool, server: Option<Server>) -> Served {
    let server = server.unwrap_or_else(|| panic!("{tool} is needed"));
    let command =
        server.command_line().replace(" --foreground --pidfile DIR/pid", "").replace(" --pid-file=DIR/pid", "");
    Served { socket: server.socket().to_owned(), version: version_of(tool), command, _keep: Box::new(server) }
}

pub(crate) fn nbdkit(nbdkit: Nbdkit) -> Served {
    served(Tool::Nbdkit, nbdkit.start())
}

pub(crate) fn qemu_nbd(qemu_nbd: QemuNbd) -> Served {
    served(Tool::QemuNbd, qemu_nbd.extended_headers().start())
}

pub(crate) fn nbd_server(nbd_server: NbdServer) -> Served {
    served(Tool::NbdServer, nbd_server.start())
}

/// Our own command, built as it is now.
static NBD: LazyLock<PathBuf> = LazyLock::new(|| {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package=nbd-cli", "--message-format=json", "--manifest-path"]).arg(workspace);
    let output = build.stderr(Stdio::inherit()).output().expect("run cargo");
    assert!(output.status.success(), "nbd-cli does not build");
    let told = String::from_utf8(output.stdout).expect("JSON");
    let path = told.rsplit_once("\"executable\":\"").and_then(|(_, behind)| behind.split_once('"'));
    path.expect("the path of the command").0.into()
});

/// The version of this workspace, by the command's own word.
pub(crate) fn our_version() -> String {
    let output = Command::new(&*NBD).arg("--version").output().expect("run nbd");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim().strip_prefix("nbd ").expect("the command's name, and its version").to_owned()
}

struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.kill().expect("end nbd serve");
        self.0.wait().expect("the end of nbd serve");
    }
}

/// `nbd serve`, of a file with these contents.
pub(crate) fn ours(disk: &Disk, options: &[&str]) -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("disk");
    let contents = disk.contents();
    // Blocks of zeroes are holes.
    let blocks = contents.chunks(4 * KIB).zip(0_u64..).filter(|(block, _)| block.iter().any(|byte| *byte != 0));
    let blocks: Vec<_> = blocks.map(|(block, number)| (number * 4096, block)).collect();
    sparse_file(&file, contents.len() as u64, &blocks);
    let socket = directory.path().join("socket");
    let backend = format!("file:{}", file.display());
    let mut serve = Command::new(&*NBD);
    serve.arg("serve").arg("--unix").arg(&socket).args(options).arg(&backend).stdin(Stdio::null());
    let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start nbd serve");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let child = Ours(child);
    // It prints its URI once clients can connect.
    output.read_line(&mut String::new()).expect("the URI of nbd serve");
    let options =
        options.iter().map(|option| if option.contains(' ') { format!("{option:?} ") } else { format!("{option} ") });
    let command = format!("nbd serve --unix DIR/socket {}file:DIR/disk", options.collect::<String>());
    let version = format!("nbd serve {}", our_version());
    Served { socket, version, command, _keep: Box::new((child, output, directory)) }
}
