//! `nbd attach`, as far as no kernel's device is needed.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nbd_testkit::{NbdServer, Nbdkit, Script, must_end};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Run, command, nbd};
use crate::serve::socket_in;
use crate::serving::Serving;

/// A device that no machine has, so that nothing is attached by these tests wherever they run.
const NO_DEVICE: &str = "/dev/nbd32000";

fn at(path: &str) -> String {
    format!("nbd+unix:///?socket={path}")
}

#[test]
fn what_the_ioctl_interface_cannot_do_is_refused_with_the_reason() {
    for option in ["--persist", "--dead-timeout=5"] {
        let failure = nbd(["attach", "--ioctl", option, "nbd://localhost"]).failure();
        assert!(failure.contains("no way to replace a connection"), "{failure}");
    }
}

#[test]
fn a_wrong_call_is_refused() {
    for wrong in [
        &[][..],
        &["--ioctl", "--netlink", "nbd://localhost"],
        &["--follow-size", "nbd://localhost"],
        &["--connections=0", "nbd://localhost"],
        &["--connections=17", "nbd://localhost"],
        &["--block-size=256", "nbd://localhost"],
        &["--block-size=1000", "nbd://localhost"],
        &["--block-size=128k", "nbd://localhost"],
        &["--timeout=soon", "nbd://localhost"],
        &["--wait=0", "nbd://localhost"],
        &["nbd://localhost", "/dev/null"],
        &["nbd://localhost", "/dev/nbd0p1"],
        &["nbd://localhost", "sda"],
    ] {
        let run = nbd([&["attach"], wrong].concat());
        assert_eq!(run.code, Some(1), "{wrong:?}");
        assert!(run.bytes.is_empty() && run.errors.starts_with("error: "), "{wrong:?}: {run:?}");
    }
}

#[test]
fn a_server_that_is_none_is_told_before_the_kernel_is_asked() {
    let script = Script::new().send(*b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").hold().listen();
    let failure = nbd(["attach", "--netlink", &script.uri()]).failure();
    assert_eq!(failure.matches("an NBD server?").count(), 1, "{failure}");
    let failure = nbd(["attach", "--netlink", &at("/nowhere")]).failure();
    assert!(failure.ends_with("; is the server running there?\n"), "{failure}");
    let failure = nbd(["attach", "--netlink", "nbds://localhost"]).failure();
    assert!(failure.contains("nbds://localhost") && failure.contains("TLS"), "{failure}");
}

#[test]
fn an_export_that_does_not_exist_is_told_with_a_hint() {
    let Some(server) = NbdServer::new().export("disk", nbd_testkit::Disk::empty(4096)).start() else { return };
    let failure = nbd(["attach", "--netlink", &server.uri_of("other")]).failure();
    assert!(failure.contains("other") && failure.contains("--list"), "{failure}");
}

/// In front, and in the process that would stay.
#[test]
fn a_device_that_is_not_there_is_told_with_what_to_load() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    for place in [&["--foreground"][..], &[]] {
        let uri = server.uri();
        let failure = nbd([&["attach", "--ioctl"], place, &[&uri, NO_DEVICE]].concat()).failure();
        assert!(failure.contains(NO_DEVICE) && failure.contains("opening the device"), "{failure}");
        assert!(failure.contains("modprobe nbd"), "{failure}");
    }
}

#[test]
fn connections_to_different_exports_are_compared_before_the_kernel_is_asked() {
    let size = "if [ -e $tmpdir/second ]; then echo 2M; else touch $tmpdir/second; echo 1M; fi";
    let plugin = Nbdkit::new("eval").arg(format!("get_size={size}")).arg("can_multi_conn=exit 0");
    let Some(server) = plugin.arg("pread=exit 1").start() else { return };
    let failure = nbd(["attach", "--ioctl", "--connections=2", &server.uri(), NO_DEVICE]).failure();
    assert!(failure.contains("the size was 1048576 and is 2097152"), "{failure}");
}

#[test]
fn several_connections_need_a_server_that_allows_them() {
    let plugin = Nbdkit::new("eval").arg("get_size=echo 1M").arg("can_multi_conn=exit 3");
    let Some(server) = plugin.arg("pread=exit 1").start() else { return };
    let failure = nbd(["attach", "--ioctl", "--connections=2", &server.uri(), NO_DEVICE]).failure();
    assert!(failure.contains("CAN_MULTI_CONN"), "{failure}");
}

#[test]
fn an_export_without_a_block_is_nothing_to_attach() {
    let Some(server) = Nbdkit::memory("100").start() else { return };
    let failure = nbd(["attach", "--ioctl", &server.uri(), NO_DEVICE]).failure();
    assert!(failure.contains("100 bytes"), "{failure}");
}

#[test]
fn a_log_that_cannot_be_written_is_told() {
    for place in [&["--foreground"][..], &[]] {
        let args = [&["attach", "--ioctl", "--log=/nowhere/log"], place, &["nbd://localhost", NO_DEVICE]].concat();
        let failure = nbd(args).failure();
        assert!(failure.contains("/nowhere/log"), "{failure}");
    }
}

#[test]
fn what_goes_wrong_in_a_process_that_stays_is_in_its_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let failure = command()
        .args(["attach", "--ioctl", "--log", "log", &at("/nowhere"), NO_DEVICE])
        .current_dir(&dir)
        .output()
        .map(Run::from)
        .unwrap()
        .failure();
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(logged.contains(failure.strip_prefix("nbd: ").unwrap().trim_end()), "{logged}");
}

#[test]
fn waiting_ends_when_the_server_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut child = command()
        .args(["attach", "--ioctl", "--wait", &at(&socket), NO_DEVICE])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let (first, mut errors) = must_end(move || (errors.next().unwrap().unwrap(), errors));
    assert!(first.ends_with("trying again until it works"), "{first}");
    let mut server = Serving::start(["--unix", &socket, "memory:1M"]);
    server.line();
    let last = must_end(move || errors.next().unwrap().unwrap());
    assert!(last.contains("opening the device"), "{last}");
    assert_eq!(must_end(move || child.wait()).unwrap().code(), Some(1));
}

#[test]
fn waiting_may_have_an_end() {
    for place in [&["--foreground"][..], &[]] {
        let uri = at("/nowhere");
        let run = nbd([&["attach", "--ioctl", "--wait=0.15"], place, &[&uri, NO_DEVICE]].concat());
        assert_eq!(run.code, Some(1));
        let lines: Vec<_> = run.errors.lines().collect();
        assert_eq!(lines.len(), 2, "{run:?}");
        assert!(lines[0].contains("trying again") && lines[1].contains("No such file"), "{run:?}");
    }
}

#[test]
fn waiting_lasts_as_long_as_it_may() {
    let start = Instant::now();
    assert_eq!(nbd(["attach", "--ioctl", "--wait=0.5", &at("/nowhere"), NO_DEVICE]).code, Some(1));
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}

#[test]
fn what_does_not_pass_by_waiting_is_not_waited_for() {
    let Some(server) = NbdServer::new().export("disk", nbd_testkit::Disk::empty(4096)).start() else { return };
    nbd(["attach", "--ioctl", "--wait", &server.uri_of("other"), NO_DEVICE]).failure();
    nbd(["attach", "--ioctl", "--wait", "nbds://localhost", NO_DEVICE]).failure();
}

/// The process that would have stayed holds standard error, too.
#[test]
fn nobody_stays_when_the_command_is_killed_before_the_device_is_ready() {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut child = command()
            .args(["attach", "--ioctl", "--wait", &at("/nowhere"), NO_DEVICE])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut errors = must_end(move || {
            errors.next().unwrap().unwrap();
            errors
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        assert!(must_end(move || errors.next()).is_none(), "{signal:?}");
    }
}
