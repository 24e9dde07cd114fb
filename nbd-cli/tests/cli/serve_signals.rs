//! Signals end `nbd serve`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use nbd_driver_std::nbd_proto::error::{CommandError, Ended, Error as Over};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;
use nbd_driver_std::{Client, Error};
use rustix::process::Signal;

use crate::common::{command, nbd};
use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

#[test]
fn an_idle_server_ends_well_and_takes_its_socket_along() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let dir = tempfile::tempdir().unwrap();
        let socket = socket_in(dir.path());
        let mut server = Serving::start(["--unix", &socket, "memory:1M"]);
        let uri = server.line();
        // One client uses a disk, another one has only been greeted.
        let client = Client::connect(&uri).unwrap();
        let half_open = Raw::greeted(Path::new(&socket));
        server.signal(signal);
        server.end().ok();
        assert!(!fs::exists(&socket).unwrap(), "{signal:?}");
        must_end(move || client.read_at(&mut [0; 512], 0)).unwrap_err();
        must_end(move || half_open.hung_up());
    }
}

#[test]
fn a_busy_server_ends_well_and_answers_what_has_begun() {
    let mut server = Serving::start(["--tcp=:0", "memory:16M"]);
    let client = Client::connect(&server.line()).unwrap();
    let (sender, receiver) = channel();
    let busy = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        // Until the server does not want to any more.
        for block in (0..16).cycle() {
            if let Err(error) = client.read_at(&mut buffer, block << 20) {
                return error;
            }
            sender.send(()).unwrap();
        }
        unreachable!("the cycle never ends")
    });
    receiver.recv().unwrap();
    receiver.recv().unwrap();
    server.signal(Signal::TERM);
    server.end().ok();
    // What came too late was refused, or came when all that had begun was answered.
    match must_end(move || busy.join().unwrap()) {
        Error::Command(CommandError::Server(error)) => assert_eq!(error.error, ErrorValue::ESHUTDOWN),
        Error::Connection(error) => assert!(matches!(error, Over::Ended(Ended::AtBoundary { .. })), "{error}"),
        error => panic!("{error}"),
    }
}

/// A client that asks for more than a socket holds, and takes none of it.
fn stuck(socket: &str) -> Raw {
    let mut client = Raw::connected(Path::new(socket));
    for _ in 0..4 {
        client.ask(32 << 20);
    }
    client.answered();
    client
}

#[test]
fn a_client_that_does_not_take_its_answers_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "memory:32M"]);
    server.line();
    let client = stuck(&socket);
    server.signal(Signal::TERM);
    server.end().ok();
    drop(client);
}

#[test]
fn nor_does_it_change_the_exit_code_of_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let line = "trap '' TERM; echo ready; sleep 1000";
    let mut server = Serving::start(["--unix", &socket, "--run", line, "memory:32M"]);
    assert_eq!(server.line(), "ready");
    let client = stuck(&socket);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, &run.errors[..]), (Some(137), ""));
    drop(client);
}

#[test]
fn a_second_signal_ends_all_patience() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "memory:32M"]);
    server.line();
    let _client = stuck(&socket);
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    // Which of them comes first is up to the system.
    assert!(matches!(server.end().code, Some(130 | 143)));
    assert!(!fs::exists(&socket).unwrap());
}

#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    let mut sh = Command::new("sh");
    sh.args(["-c", r#"trap '' HUP; exec "$@""#, "sh"]).arg(command().get_program());
    let mut server = Serving::spawn(sh.args(["serve", "--tcp=:0", "memory:1M"]));
    let uri = server.line();
    server.signal(Signal::HUP);
    assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
    server.stop().ok();
}
