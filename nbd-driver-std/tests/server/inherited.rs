//! Sockets from a service manager, in a process of their own.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use crate::disk::TestDisk;
use crate::driver::{ConnectOptions, Export, Listener, Server, ServerOptions};
use crate::raw::{DISC, Raw};
use crate::support::{KIB, must_end};

/// Ends the process with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Set in the process that serves.
const SERVES: &str = "NBD_TEST_SERVES_INHERITED";

/// Runs [`are_served`] with these sockets from descriptor 3 on, and no more descriptors than that.
fn activated(first: OwnedFd, second: OwnedFd, descriptors: usize) -> Process {
    let script = r#"ulimit -n $0 && LISTEN_FDS=2 LISTEN_PID=$$ exec "$@" 3<&0 4<&1 </dev/null >/dev/null"#;
    let command = Command::new("sh")
        .args(["-c", script, &descriptors.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inherited::are_served", "--test-threads=1"])
        .env(SERVES, "1")
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .spawn();
    Process(command.unwrap())
}

/// What the process does that was given sockets.
fn serve() {
    let listeners = Listener::inherited().unwrap();
    assert_eq!(std::env::var_os("LISTEN_PID"), None, "the variables were not removed");
    assert!(Listener::inherited().unwrap().is_empty());
    let server = Server::new(ServerOptions::new()).export(Export::shared("disk", TestDisk::empty(KIB).share()));
    server.start(listeners).unwrap().wait().unwrap();
}

#[test]
fn are_served() {
    // The same test is both the process that serves and the one that asks.
    if std::env::var_os(SERVES).is_some() {
        return serve();
    }
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let _process = activated(tcp.into(), unix.into(), 1024);
        let patient = ConnectOptions::new().handshake_idle_timeout(None).handshake_timeout(None);
        let uris = [format!("nbd://127.0.0.1:{port}/disk"), format!("nbd+unix:///disk?socket={}", path.display())];
        for uri in uris {
            let client = patient.connect(&uri).unwrap();
            assert_eq!(client.size(), KIB);
            client.shutdown().unwrap();
        }
    });
}

#[test]
fn are_none_where_there_is_no_manager() {
    assert!(Listener::inherited().unwrap().is_empty());
}

/// The server's process has descriptors for a few connections only. It goes on when there are some again.
#[test]
fn are_accepted_from_again_when_descriptors_are_free() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let _process = activated(tcp.into(), unix.into(), 20);
        // All of these fit into the backlog.
        let mut clients: Vec<_> = (0..30).map(|_| Raw::connect(&path)).collect();
        // Those that come early have places; each that leaves makes one for another.
        for client in &mut clients {
            client.greet();
            client.go("disk").unwrap();
            client.request(DISC, 0, 0, 0);
            client.expect_end();
        }
    });
}

/// The same, but nobody who has a descriptor gets on: after a moment the oldest of them has to go.
#[test]
fn silent_clients_do_not_keep_the_descriptors() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent: Vec<_> = (0..30).map(|_| Raw::connect(&path)).collect();
        let _process = activated(tcp.into(), unix.into(), 20);
        let mut last = Raw::greeted(&path);
        last.go("disk").unwrap();
        drop(silent);
    });
}
