//! The programs that tests need, and what happens when one is missing.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of another project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The server of many plugins.
    Nbdkit,
    /// QEMU's server.
    QemuNbd,
    /// QEMU's image tool; an NBD client too.
    QemuImg,
    /// QEMU's tool for single requests; an NBD client too.
    QemuIo,
    /// The reference server.
    NbdServer,
    /// libnbd's client that prints what a server offers.
    Nbdinfo,
    /// libnbd's client that copies.
    Nbdcopy,
    /// libnbd's client that takes Python.
    Nbdsh,
    /// A benchmark that verifies, with libnbd for an engine.
    Fio,
}

impl Tool {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Nbdkit => "nbdkit",
            Self::QemuNbd => "qemu-nbd",
            Self::QemuImg => "qemu-img",
            Self::QemuIo => "qemu-io",
            Self::NbdServer => "nbd-server",
            Self::Nbdinfo => "nbdinfo",
            Self::Nbdcopy => "nbdcopy",
            Self::Nbdsh => "nbdsh",
            Self::Fio => "fio",
        }
    }

    /// The Debian package that brings it.
    pub fn package(self) -> &'static str {
        match self {
            Self::Nbdkit => "nbdkit",
            Self::QemuNbd | Self::QemuImg | Self::QemuIo => "qemu-utils",
            Self::NbdServer => "nbd-server",
            Self::Nbdinfo | Self::Nbdcopy => "libnbd-bin",
            Self::Nbdsh => "python3-libnbd",
            Self::Fio => "fio",
        }
    }

    /// Where it is installed, if it is.
    pub fn path(self) -> Option<PathBuf> {
        find_program(self.program())
    }

    /// A command that runs it, or `None` (see [`require`]).
    pub fn command(self) -> Option<Command> {
        require(&[self]).then(|| self.command_unchecked())
    }

    pub(crate) fn command_unchecked(self) -> Command {
        let path = self.path().expect("the program was there a moment ago");
        let mut command = Command::new(&path);
        command.env("LC_ALL", "C");
        if self == Self::Nbdsh {
            // It starts the first python3 it finds, and only the one it was installed with has its module.
            let beside = path.parent().map(Path::to_owned);
            let search = env::var_os("PATH").unwrap_or_default();
            let dirs = beside.into_iter().chain(env::split_paths(&search));
            command.env("PATH", env::join_paths(dirs).expect("directories that were found in a search path"));
        }
        command
    }

    /// Major and minor number of the installed version, if it is installed and says so.
    pub fn version(self) -> Option<(u32, u32)> {
        self.path()?;
        // One server knows only the short option and would take the long one for an export.
        let option = if self == Self::NbdServer { "-V" } else { "--version" };
        let output = self.command_unchecked().arg(option).output().ok()?;
        first_version(&String::from_utf8_lossy(&output.stdout))
            .or_else(|| first_version(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Whether at least this version is installed; if not, the test is to return (see [`require`]).
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        if !require(&[self]) {
            return false;
        }
        let enough = self.version().is_some_and(|found| found >= (major, minor));
        if !enough {
            missing(self, &format_args!("{self} {major}.{minor} or newer"));
        }
        enough
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Whether all these programs are installed.
///
/// If one is not, `false` comes back and one line on standard error says what to install: the test
/// is to return. With `NBD_TEST_REQUIRE_PEERS=1` in the environment this panics instead.
pub fn require(tools: &[Tool]) -> bool {
    match tools.iter().find(|tool| tool.path().is_none()) {
        Some(&tool) => {
            missing(tool, &tool);
            false
        }
        None => true,
    }
}

fn missing(tool: Tool, what: &dyn fmt::Display) {
    skip(&format!("needs {what} (Debian: apt-get install {})", tool.package()));
}

/// Says in one line on standard error that a test is skipped, and why: what it `needs …`. The test is to return.
///
/// For what no package brings. With `NBD_TEST_REQUIRE_PEERS=1` in the environment this panics instead.
pub fn skip(reason: &str) {
    assert!(!peers_required(), "NBD_TEST_REQUIRE_PEERS=1, and this test {reason}");
    say_skipped(reason);
}

/// Whether a missing program is a failure.
pub(crate) fn peers_required() -> bool {
    env::var_os("NBD_TEST_REQUIRE_PEERS").as_deref() == Some(OsStr::new("1"))
}

/// The one line of a skipped test.
pub(crate) fn say_skipped(message: &str) {
    // Not `eprintln!`: the test harness would swallow that for a test that passes. One write, so
    // that the lines of parallel tests do not mix.
    let line = format!("skipped: {message}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// Where a program is installed, if it is.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Some systems keep servers where ordinary users do not look.
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The first word of the shape `1.2…`.
fn first_version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::first_version;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(first_version("nbdkit 1.32.5\n"), Some((1, 32)));
        assert_eq!(first_version("This is nbd-server version 3.24\n"), Some((3, 24)));
        assert_eq!(first_version("qemu-nbd 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), Some((10, 0)));
        assert_eq!(first_version("no numbers here"), None);
    }
}
