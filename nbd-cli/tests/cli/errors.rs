//! Failures are told in one line: what was tried, what came back, what can be done.

use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;

use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, Script};

use crate::common::{Run, command, nbd};

#[test]
fn nobody_listens() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = nbd(["info", &format!("nbd://127.0.0.1:{port}")]).failure();
    assert!(failure.contains(&port.to_string()) && failure.contains("refused"), "{failure}");
    assert!(failure.ends_with("; is the server running there?\n"), "{failure}");
    let failure = nbd(["info", "nbd+unix:///?socket=/nowhere/at/all"]).failure();
    assert!(failure.contains("/nowhere/at/all") && failure.contains("No such file"), "{failure}");
}

#[test]
fn an_address_that_is_none() {
    for uri in ["localhost", "http://localhost", "nbd:localhost:10809", "nbd://localhost:0", "nbd://a b/"] {
        let failure = nbd(["info", uri]).failure();
        assert!(failure.contains(uri), "{failure}");
    }
    nbd(["info", "nbds://localhost"]).failure();
    nbd(["copy", "nbd:unix:/tmp/x", "null:"]).failure();
}

#[test]
fn an_export_that_does_not_exist() {
    let Some(server) = NbdServer::new().export("disk", Disk::empty(4096)).start() else { return };
    for command in [&["info"][..], &["info", "--size"], &["info", "--map"]] {
        let failure = nbd(command.iter().copied().chain([&server.uri_of("other")[..]])).failure();
        assert!(failure.contains("other") && failure.contains("--list"), "{failure}");
    }
}

#[test]
fn a_list_that_cannot_be_had() {
    let Some(server) = Nbdkit::memory("1M").mode(Handshake::Newstyle).start() else { return };
    let failure = nbd(["info", "--list", &server.uri()]).failure();
    assert!(failure.contains("no way to list"), "{failure}");
}

#[test]
fn something_else_than_nbd() {
    let script = Script::new().send(*b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").hold().listen();
    let failure = nbd(["info", &script.uri()]).failure();
    assert_eq!(failure.matches("an NBD server?").count(), 1, "{failure}");
}

#[test]
fn a_server_that_hangs_up() {
    let script = Script::new().close().listen();
    let failure = nbd(["info", &script.uri()]).failure();
    assert!(failure.contains("closed the connection"), "{failure}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_news() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    for args in [&["info", &server.uri()][..], &["info", "--json", &server.uri()], &["copy", &server.uri(), "-"]] {
        let mut child = command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        // What a shell shows for the end by SIGPIPE.
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let uri = server.uri();
    for args in [&["info", &uri][..], &["info", "--size", &uri], &["info", "--map", &uri], &["copy", &uri, "-"]] {
        // Not open for writing, which the standard library takes for a write that went well; and full.
        let read_only = File::open("/dev/null").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        for output in [read_only, full] {
            let run = command().args(args).stdout(output).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
            let failure = Run::from(run.unwrap()).failure();
            assert!(failure.contains("writing to standard output"), "{failure}");
        }
    }
}

#[test]
fn tracing_shows_the_steps_on_standard_error() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    for (args, variable) in [(&["-v", "info"][..], ""), (&["info", "--verbose"], ""), (&["info"], "trace")] {
        let output = command().args(args).args(["--size", &server.uri()]).env("NBD_LOG", variable).output().unwrap();
        assert_eq!(output.stdout, b"1048576\n");
        let steps = String::from_utf8(output.stderr).unwrap();
        assert!(steps.contains("NBD_OPT_GO"), "{steps}");
        assert!(!steps.contains('\x1b'), "colours are for terminals: {steps:?}");
    }
}

#[test]
fn tracing_that_cannot_be_written_stops_nothing() {
    let Some(server) = Nbdkit::memory("1M").start() else { return };
    let full = File::options().write(true).open("/dev/full").unwrap();
    let info = command().args(["-v", "info", "--size", &server.uri()]).stderr(full).output().unwrap();
    assert_eq!((info.status.code(), &info.stdout[..]), (Some(0), &b"1048576\n"[..]));
}
