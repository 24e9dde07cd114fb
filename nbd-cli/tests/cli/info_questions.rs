//! `nbd info --is` and `--can` answer by their exit codes, like `nbdinfo`.

use nbd_testkit::{Disk, Nbdkit, QemuNbd, Tool};

use crate::common::nbd;

const QUESTIONS: [(&str, &str); 16] = [
    ("--can", "cache"),
    ("--can", "connect"),
    ("--can", "df"),
    ("--can", "fast-zero"),
    ("--can", "flush"),
    ("--can", "fua"),
    ("--can", "multi-conn"),
    ("--can", "read"),
    ("--can", "structured-reply"),
    ("--can", "trim"),
    ("--can", "write"),
    ("--can", "zero"),
    ("--is", "read-only"),
    ("--is", "readonly"),
    ("--is", "rotational"),
    ("--is", "tls"),
];

#[test]
fn answers_are_those_of_nbdinfo() {
    if !nbd_testkit::require(&[Tool::Nbdinfo]) {
        return;
    }
    let servers = [
        Nbdkit::memory("1M").start(),
        Nbdkit::memory("1M").readonly().no_structured_replies().start(),
        QemuNbd::new(Disk::empty(1 << 20)).shared(4).start(),
    ];
    for server in servers.into_iter().flatten() {
        for (kind, what) in QUESTIONS {
            let args = [kind, what, &server.uri()];
            let expected = Tool::Nbdinfo.command().unwrap().args(args).status().unwrap().code();
            let run = nbd(["info"].iter().chain(&args));
            assert_eq!(run.code, expected, "{args:?}");
            assert!(run.bytes.is_empty() && run.errors.is_empty(), "{run:?}");
        }
    }
}

#[test]
fn extended_headers_can_be_asked_about() {
    if let Some(server) = Nbdkit::memory("1M").start() {
        assert_eq!(nbd(["info", "--can", "extended-headers", &server.uri()]).code, Some(2));
        assert_eq!(nbd(["info", "--has", "structured-reply", &server.uri()]).code, Some(0));
    }
    if let Some(server) = QemuNbd::new(Disk::empty(1 << 20)).extended_headers().start() {
        assert_eq!(nbd(["info", "--can", "extended-headers", &server.uri()]).code, Some(0));
    }
}

#[test]
fn a_server_that_cannot_be_asked_is_neither_yes_nor_no() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("nbd+unix:///?socket={}/none", dir.path().display());
    for what in ["connect", "trim", "read"] {
        nbd(["info", "--can", what, &uri]).failure();
    }
}
