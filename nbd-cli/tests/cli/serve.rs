//! `nbd serve` serves, and says where.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use nbd_testkit::pattern;

use crate::common::{assert_file, assert_same, command, copy, nbd, write};
use crate::serving::{Serving, must_end};

pub(crate) fn socket_in(dir: &Path) -> String {
    dir.join("socket").to_str().unwrap().to_owned()
}

#[test]
fn the_uri_is_printed_when_clients_can_connect() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    // No other test has this directory.
    let name = format!("@{socket}");
    for (listen, start) in [
        (["--unix", &socket], &format!("nbd+unix:///?socket={socket}")[..]),
        (["--unix", &name], "nbd+unix:///?"),
        (["--tcp", "127.0.0.1:0"], "nbd://127.0.0.1:"),
        (["--tcp", "localhost:0"], "nbd://"),
        (["--tcp", ":0"], "nbd://127.0.0.1:"),
    ] {
        let mut server = Serving::start(listen.iter().chain(&["memory:1M"]));
        let uri = server.line();
        assert!(uri.starts_with(start) && !uri.ends_with(":0/"), "{uri}");
        assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
        let run = server.stop().ok();
        assert_eq!(run.text(), "", "more than the URI");
    }
}

#[test]
fn an_ipv6_address_is_printed_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for address in ["[::1]:0", "[::]:0"] {
        let mut server = Serving::start(["--tcp", address, "memory:1M"]);
        let uri = server.line();
        assert!(uri.starts_with("nbd://[::1]:"), "{uri}");
        assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
    }
}

#[test]
fn an_address_that_stands_for_all_is_printed_as_one_that_works() {
    let mut server = Serving::start(["--tcp", "0.0.0.0:0", "null:1M"]);
    let uri = server.line();
    assert!(uri.starts_with("nbd://127.0.0.1:"), "{uri}");
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
}

#[test]
fn without_an_address_it_is_the_usual_port_of_this_machine_alone() {
    let mut server = Serving::start(["memory:1M"]);
    match server.next_line() {
        Some(uri) => {
            assert_eq!(uri, "nbd://127.0.0.1/");
            // An address of this machine, too, but not that one.
            TcpStream::connect("127.0.0.2:10809").unwrap_err();
        }
        // Somebody else has that port.
        None => {
            let failure = server.end().failure();
            assert!(failure.contains("127.0.0.1:10809") && failure.contains("a server running"), "{failure}");
        }
    }
}

#[test]
fn memory_keeps_what_is_written_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Serving::start(["--unix", &socket_in(dir.path()), "memory:3M"]);
    let uri = server.line();
    let (image, back) = (dir.path().join("image"), dir.path().join("back"));
    let bytes = pattern(3 << 20, 1);
    write(&image, &bytes);
    copy(&image, &uri);
    copy(&uri, &back);
    assert_file(&back, &bytes);
}

#[test]
fn a_file_is_read_and_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let (image, back) = (dir.path().join("image"), dir.path().join("back"));
    write(&image, &pattern(1_000_001, 1));
    let backend = format!("file:{}", image.display());
    let mut server = Serving::start(["--unix", &socket_in(dir.path()), &backend]);
    let uri = server.line();
    copy(&uri, &back);
    assert_file(&back, &pattern(1_000_001, 1));
    write(&back, &pattern(1_000_001, 2));
    copy(&back, &uri);
    server.stop().ok();
    assert_file(&image, &pattern(1_000_001, 2));
}

#[test]
fn a_file_that_grows_is_seen_by_the_next_client() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    File::create(&image).unwrap().set_len(4096).unwrap();
    let mut server = Serving::start(["--unix", &socket_in(dir.path()), &format!("file:{}", image.display())]);
    let uri = server.line();
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "4096\n");
    File::options().write(true).open(&image).unwrap().set_len(8192).unwrap();
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "8192\n");
    fs::remove_file(&image).unwrap();
    let failure = nbd(["info", "--size", &uri]).failure();
    assert!(failure.contains("No such file"), "{failure}");
}

#[test]
fn null_takes_everything_and_reads_as_zeroes() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Serving::start(["--unix", &socket_in(dir.path()), "null:1M"]);
    let uri = server.line();
    let image = dir.path().join("image");
    write(&image, &pattern(1 << 20, 1));
    copy(&image, &uri);
    let back = nbd(["copy", &uri, "-"]).ok();
    assert_same(&back.bytes, &vec![0; 1 << 20]);
}

#[test]
fn disks_may_be_empty_and_as_large_as_clients_can_count() {
    for (backend, size) in [
        ("memory:0", "0\n"),
        ("null:0", "0\n"),
        ("memory:9223372036854775807", "9223372036854775807\n"),
        ("memory:8388607T", "9223370937343148032\n"),
        ("null:5GiB", "5368709120\n"),
    ] {
        let mut server = Serving::start(["--tcp", ":0", backend]);
        assert_eq!(nbd(["info", "--size", &server.line()]).ok().text(), size, "{backend}");
    }
}

/// A client that waits in the socket of a server to come is served, though nobody reads what the server prints.
#[test]
fn it_serves_on_where_nobody_reads_the_uri() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inherited");
    let listener = UnixListener::bind(&path).unwrap();
    let script = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;
    for output in [Stdio::piped(), File::options().write(true).open("/dev/full").unwrap().into()] {
        let mut sh = Command::new("sh");
        sh.args(["-c", script, "sh"]).arg(command().get_program()).args(["serve", "memory:1M"]);
        let socket = OwnedFd::from(listener.try_clone().unwrap());
        let mut child = sh.stdin(Stdio::from(socket)).stdout(output).spawn().unwrap();
        drop(child.stdout.take());
        let uri = format!("nbd+unix:///?socket={}", path.display());
        let size = must_end(move || nbd(["info", "--size", "--timeout", "50", &uri]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(size.ok().text(), "1048576\n");
    }
}
