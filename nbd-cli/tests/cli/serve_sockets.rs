//! The sockets that `nbd serve` listens on, and what becomes of them.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::common::{command, nbd, write};
use crate::serve::socket_in;
use crate::serving::Serving;

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    drop(UnixListener::bind(&socket).unwrap());
    let mut server = Serving::start(["--unix", &socket, "memory:1M"]);
    nbd(["info", &server.line()]).ok();
    server.stop().ok();
    assert!(!fs::exists(&socket).unwrap());
}

#[test]
fn a_server_at_work_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "memory:1M"]);
    let uri = server.line();
    let failure = nbd(["serve", "--unix", &socket, "memory:2M"]).failure();
    assert!(failure.contains(&socket), "{failure}");
    assert_eq!(failure.matches("a server").count(), 1, "{failure}");
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let failure = nbd(["serve", "--tcp", &address, "memory:2M"]).failure();
    assert!(failure.contains(&address) && failure.contains("is a server running there already?"), "{failure}");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write(&path, b"precious");
    let failure = nbd(["serve", "--unix", path.to_str().unwrap(), "memory:1M"]).failure();
    assert!(failure.contains("no socket"), "{failure}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn where_nobody_can_listen_it_is_said_why() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing/socket");
    let long = dir.path().join("x".repeat(100));
    for (args, says) in [
        (["--unix", missing.to_str().unwrap()], "is there such a directory?"),
        (["--unix", long.to_str().unwrap()], "107"),
        (["--tcp", "192.0.2.1:0"], "is that an address of this machine?"),
        (["--tcp", "no-such-host.invalid:0"], "no-such-host.invalid"),
    ] {
        let failure = nbd([&["serve"], &args[..], &["memory:1M"]].concat()).failure();
        assert!(failure.contains(says), "{failure}");
        assert!(!failure.contains("is the server running there?"), "{failure}");
    }
}

/// As a service manager starts it, with two sockets from file descriptor 3 on.
fn activated(first: OwnedFd, second: OwnedFd, args: &[&str]) -> Serving {
    let script = r#"exec 3<&0 4<&2 </dev/null 2>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@""#;
    let mut sh = Command::new("sh");
    sh.args(["-c", script, "sh"]).arg(command().get_program()).arg("serve").args(args);
    Serving::adopt(sh.stdin(first).stderr(second).stdout(Stdio::piped()).spawn().unwrap())
}

#[test]
fn inherited_ones_have_a_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let unix = UnixListener::bind(&socket).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let mut server = activated(tcp.into(), unix.into(), &["memory:1M"]);
    let uris = [server.line(), server.line()];
    assert_eq!(uris, [format!("nbd://127.0.0.1:{port}/"), format!("nbd+unix:///?socket={socket}")]);
    for uri in uris {
        assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
    }
    server.stop().ok();
    // It belongs to whoever made it.
    assert!(fs::exists(&socket).unwrap());
}

#[test]
fn an_address_from_the_user_counts_more_than_inherited_ones() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap().into();
    let mut server = activated(tcp(), tcp(), &["--unix", &socket, "memory:1M"]);
    assert_eq!(server.line(), format!("nbd+unix:///?socket={socket}"));
    assert_eq!(server.stop().ok().text(), "");
}

#[test]
fn a_command_gets_the_first_inherited_one_and_no_descriptor() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = "echo $uri $port ${LISTEN_FDS-none} ${LISTEN_PID-none}
        for fd in 3 4; do if test -e /proc/$$/fd/$fd; then echo $fd is open; fi; done";
    let mut server = activated(tcp.into(), other.into(), &["--run", line, "memory:1M"]);
    let run = server.end();
    assert_eq!(run.text(), format!("nbd://127.0.0.1:{port}/ {port} none none\n"));
}
