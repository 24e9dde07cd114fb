//! One boot of the virtual machine, from start to end.

use std::env;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::kernel::Kernel;
use crate::guard::Guard;
use crate::listener::wait_readable;
use crate::tool::find_program;

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What the kernel and the guest's programs print.
pub(crate) const CONSOLE: &str = "console.log";
/// The guest's report.
pub(crate) const REPORT: &str = "report";
/// What tests have left in their directory of logs.
const LOGS: &str = "logs.tar";

/// The machine ends with a panic, and with an oops, after which no result could be trusted. The kernel's log takes any
/// number of lines from tests, and mitigations of processor bugs cost an emulated processor dear.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 oops=panic printk.devkmsg=on mitigations=off";

/// Boots, waits until the machine is off, and says in a few words how it ended. If this process dies, so does the
/// machine.
pub(crate) fn boot(kernel: &Kernel, archive: &Path, dir: &Path, limit: Duration) -> String {
    let guard = Guard::new();
    let accelerator = env::var("NBD_VM_ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let mut command = Command::new(find_program(QEMU).expect("the program was there a moment ago"));
    command
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35"])
        .args(["-accel", &accelerator, "-cpu", "max", "-smp", "2", "-m", "768"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(archive)
        .args(["-append", COMMAND_LINE]);
    let messages = dir.join("qemu.log");
    for port in [CONSOLE, REPORT, LOGS] {
        command.arg("-serial").arg(format!("file:{port}"));
    }
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&messages).expect("create a file for QEMU's messages"));
    guard.adopt(&mut command);
    let mut qemu = command.spawn().expect("start QEMU");
    let process = pidfd_open(Pid::from_child(&qemu), PidfdFlags::empty()).expect("a process to wait for");
    let ended = wait_readable(&[process.as_fd()], Some(limit)).is_some();
    // Kills it, if it still runs.
    drop(guard);
    let status = qemu.wait().expect("wait for QEMU");
    match ended {
        true if status.success() => "the machine went off".to_owned(),
        true => format!("QEMU ended with {status}: {}", fs::read_to_string(messages).unwrap_or_default().trim_end()),
        false => format!("it was still running after {} s and was killed", limit.as_secs()),
    }
}
