//! The guest's files, as the archive that the kernel unpacks into memory.
//!
//! It has two parts, one behind the other. The large one holds what other projects made and changes rarely, so it
//! is kept from run to run. The small one holds our own programs, the kernel's module and the list of tests.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::libraries::libraries;
use crate::Tool;
use crate::tool::find_program;

/// What a guest cannot do without.
pub(crate) const PROGRAMS: [&str; 4] = ["busybox", "nbdkit", "mkfs.ext4", "e2fsck"];

/// What it gets if the host has it.
const MORE_PROGRAMS: [&str; 3] = ["fio", "nbdinfo", "nbdcopy"];

const PLUGINS: [&str; 7] = ["memory", "file", "null", "data", "pattern", "eval", "sh"];

const FILTERS: [&str; 15] = [
    "blocksize",
    "blocksize-policy",
    "cow",
    "delay",
    "error",
    "exitlast",
    "exportname",
    "limit",
    "log",
    "multi-conn",
    "noextents",
    "offset",
    "pause",
    "stats",
    "truncate",
];

/// Where the guest finds the nonce and the names of its tests, one a line.
pub(crate) const PLAN: &str = "/etc/vm-plan";

/// Short texts of the guest.
const TEXTS: [(&str, &str); 2] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
];

/// A file of the host, and its place in the guest.
#[derive(Debug, Hash)]
struct Copied {
    from: PathBuf,
    to: PathBuf,
}

impl Copied {
    fn new(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        Self { from: from.into(), to: to.into() }
    }

    /// The program or plugin, and all libraries it needs.
    fn with_libraries(from: &Path, to: impl Into<PathBuf>) -> Vec<Self> {
        let libraries = libraries(from).into_iter().map(|library| Self::new(&library, &library));
        [Self::new(from, to)].into_iter().chain(libraries).collect()
    }
}

/// Writes the whole archive: `own` are our programs, by their names in the guest.
pub(crate) fn write(archive: &Path, scratch: &Path, module: &Path, own: &[(&str, PathBuf)], plan: &str) {
    let mut copied = vec![Copied::new(module, super::MODULE)];
    for (name, program) in own {
        copied.extend(Copied::with_libraries(program, Path::new("/usr/bin").join(name)));
    }
    let tree = tree(scratch, &copied, &[(PLAN, plan)]);
    for (name, _) in own {
        // Their debug information is most of what they are, and unpacking is slow on an emulated processor.
        let program = inside(tree.path(), &Path::new("/usr/bin").join(name));
        let stripped = Command::new("strip").arg("--strip-debug").arg(&program).stderr(Stdio::null()).status();
        drop(stripped);
    }

    // Held until the large part has been copied: a run with other programs replaces it.
    let lock = File::create(scratch.join("base.lock")).expect("create a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("lock");
    let base = base(scratch);
    fs::copy(&base, archive).expect("copy the large part");
    // An archive ends on a multiple of 512 bytes; the kernel asks for one of 4.
    pack(tree.path(), File::options().append(true).open(archive).expect("open the archive"));
}

/// The large part, newly made if anything in it has changed.
fn base(scratch: &Path) -> PathBuf {
    let copied = base_files();
    let mut key = DefaultHasher::new();
    (include_str!("init.sh"), TEXTS, &copied).hash(&mut key);
    for file in &copied {
        let meta = fs::metadata(&file.from).expect("look at a program");
        (meta.size(), meta.mtime(), meta.mtime_nsec()).hash(&mut key);
    }
    let base = scratch.join(format!("base-{:016x}.cpio", key.finish()));
    if !base.exists() {
        for entry in fs::read_dir(scratch).expect("list the scratch directory").flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("base-") {
                fs::remove_file(entry.path()).ok();
            }
        }
        let tree = tree(scratch, &copied, &TEXTS);
        let file = tempfile::NamedTempFile::new_in(scratch).expect("create a file");
        pack(tree.path(), file.reopen().expect("open the archive"));
        file.persist(&base).expect("name the archive");
    }
    base
}

fn base_files() -> Vec<Copied> {
    let mut copied = Vec::new();
    for name in PROGRAMS.iter().chain(&MORE_PROGRAMS) {
        if let Some(program) = find_program(name) {
            copied.extend(Copied::with_libraries(&program, Path::new("/usr/bin").join(name)));
        }
    }
    let output = Tool::Nbdkit.command_unchecked().arg("--dump-config").output().expect("run nbdkit");
    let config = String::from_utf8_lossy(&output.stdout).into_owned();
    let dir = |key: &str| config.lines().find_map(|line| line.strip_prefix(key)).map(PathBuf::from);
    let plugins = dir("plugindir=").into_iter().flat_map(|dir| PLUGINS.map(|name| library(&dir, name, "plugin")));
    let filters = dir("filterdir=").into_iter().flat_map(|dir| FILTERS.map(|name| library(&dir, name, "filter")));
    for library in plugins.chain(filters).filter(|library| library.exists()) {
        copied.extend(Copied::with_libraries(&library, &library));
    }
    let config = Path::new("/etc/mke2fs.conf");
    copied.extend(config.exists().then(|| Copied::new(config, config)));
    copied
}

fn library(dir: &Path, name: &str, kind: &str) -> PathBuf {
    dir.join(format!("nbdkit-{name}-{kind}.so"))
}

/// A directory with these files in it, as the guest is to have them.
fn tree(scratch: &Path, copied: &[Copied], texts: &[(&str, &str)]) -> TempDir {
    let tree = tempfile::Builder::new().prefix("tree-").tempdir_in(scratch).expect("create a directory");
    let root = tree.path();
    for dir in ["dev", "etc", "logs", "proc", "root", "run", "sys", "tmp", "usr"] {
        fs::create_dir(root.join(dir)).expect("create a directory");
    }
    for dir in MERGED {
        fs::create_dir(root.join("usr").join(dir)).expect("create a directory");
        symlink(Path::new("usr").join(dir), root.join(dir)).expect("create a link");
    }
    for file in copied {
        let to = inside(root, &file.to);
        fs::create_dir_all(to.parent().expect("a file is in a directory")).expect("create a directory");
        fs::copy(&file.from, &to).unwrap_or_else(|error| panic!("copy {}: {error}", file.from.display()));
    }
    for (to, text) in texts {
        fs::write(inside(root, Path::new(to)), text).expect("write a file");
    }
    let init = root.join("init");
    fs::write(&init, include_str!("init.sh")).expect("write a file");
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("make a file executable");
    tree
}

/// Directories that are links to the ones of the same name in `/usr`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Where a path of the guest is in its tree.
fn inside(root: &Path, path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let merged = MERGED.iter().any(|dir| relative.starts_with(dir));
    if merged { root.join("usr").join(relative) } else { root.join(relative) }
}

/// Appends the tree's archive to the file, all of it root's.
fn pack(root: &Path, file: File) {
    let status = Command::new("sh")
        .args(["-c", "find . -mindepth 1 | cpio --quiet --create --format=newc --owner=+0:+0"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(file)
        .status()
        .and_then(|status| if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) });
    status.expect("run cpio");
}
