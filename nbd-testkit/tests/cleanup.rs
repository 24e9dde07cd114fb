//! Nothing stays behind, however a test ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nbd_testkit::{Disk, NbdServer, Nbdkit, PATIENCE, QemuNbd, Script, Server};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

fn servers() -> Vec<Server> {
    let disk = Disk::patterned(1 << 16, 1);
    [Nbdkit::memory("1M").start(), QemuNbd::new(disk.clone()).start(), NbdServer::new().export("one", disk).start()]
        .into_iter()
        .flatten()
        .collect()
}

/// A client in mid-handshake, so that the server has something to hang on to.
fn busy_client(socket: &Path) -> UnixStream {
    let mut client = UnixStream::connect(socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_exact(&mut [0; 18]).unwrap();
    client
}

fn assert_disconnected(mut client: UnixStream) {
    // Either is the end of a connection; a time-out is not.
    match client.read(&mut [0; 64]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("the connection lives: {other:?}"),
    }
}

fn wait_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut fds, Some(&timeout)).unwrap() == 1
}

/// Its end can be waited for, even if another process is its parent.
fn process(id: u32) -> OwnedFd {
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn wait_for_end(process: &OwnedFd) {
    assert!(wait_readable(process), "the process lives");
}

#[test]
fn drop_leaves_nothing() {
    for server in servers() {
        let client = busy_client(server.socket());
        let dir = server.dir().to_owned();
        let processes = [process(server.guard_pid()), process(server.pid().unwrap())];
        assert!(dir.exists());
        drop(server);
        assert!(!dir.exists());
        processes.iter().for_each(wait_for_end);
        assert_disconnected(client);
    }
}

#[test]
fn kill_ends_connections_and_keeps_files() {
    for mut server in servers() {
        let client = busy_client(server.socket());
        server.kill();
        assert_disconnected(client);
        assert!(server.dir().exists());
        assert!(UnixStream::connect(server.socket()).is_err());
        server.kill();
    }
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let servers = std::thread::spawn(servers).join().unwrap();
    // nbdkit asks for a signal when its parent ends. It would end by it a moment later.
    std::thread::sleep(Duration::from_millis(50));
    for server in servers {
        busy_client(server.socket());
    }
}

#[test]
fn a_killed_test_leaves_nothing() {
    // The same test is both the process that gets killed and the one that looks.
    if std::env::var_os("NBD_TESTKIT_VICTIM").is_some() {
        victim();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_killed_test_leaves_nothing", "--exact", "--nocapture"])
        .env("NBD_TESTKIT_VICTIM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut clients = Vec::new();
    let mut processes = Vec::new();
    let mut dirs = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        match words.next() {
            Some("process") => {
                processes.push(process(words.next().unwrap().parse().unwrap()));
            }
            Some("socket") => {
                let socket = PathBuf::from(words.next().unwrap());
                clients.push(busy_client(&socket));
                dirs.push(watched(socket.parent().unwrap()));
            }
            Some("ready") => break,
            _ => {}
        }
    }
    assert!(!dirs.is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    processes.iter().for_each(wait_for_end);
    clients.into_iter().for_each(assert_disconnected);
    for (dir, removal) in dirs {
        assert!(wait_readable(&removal) && !dir.exists(), "{} is left", dir.display());
    }
}

/// A directory, and something to wait for its removal with.
fn watched(dir: &Path) -> (PathBuf, OwnedFd) {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, dir, inotify::WatchFlags::DELETE_SELF).unwrap();
    (dir.to_owned(), watch)
}

/// Starts all there is, says so on standard output, and waits to be killed.
fn victim() -> ! {
    let servers = servers();
    let script = Script::new().send([0; 18]).hold().listen();
    for server in &servers {
        println!("process {}", server.guard_pid());
        if let Some(pid) = server.pid() {
            println!("process {pid}");
        }
        println!("socket {}", server.socket().display());
    }
    println!("socket {}", script.socket().display());
    println!("ready");
    // Until the pipe closes, at the latest.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(1);
}
