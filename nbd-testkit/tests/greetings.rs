//! Every peer, in every state, starts and greets as it should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use nbd_testkit::{Disk, Handshake, NbdServer, Nbdkit, PATIENCE, QemuNbd, newstyle_greeting, oldstyle_greeting};

const SIZE: u64 = 1 << 20;

fn disk() -> Disk {
    Disk::empty(SIZE).data(4096, *b"data")
}

fn read_exactly(mut stream: impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn connect(socket: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn nbdkit_oldstyle() {
    let nbdkit = Nbdkit::memory("1M").mode(Handshake::Oldstyle);
    let Some(server) = nbdkit.start() else { return };
    let got = read_exactly(connect(server.socket()), 152);
    let expected = oldstyle_greeting(SIZE, 0);
    assert_eq!(got[..24], expected[..24]);
    // Global flags (none) and the export's flags (the server's choice).
    assert_eq!(got[24..26], [0, 0]);
    assert_eq!(got[27] & 1, 1, "HAS_FLAGS");
    assert_eq!(got[28..], expected[28..]);
}

#[test]
fn nbdkit_newstyle() {
    for (mode, flags) in [(Handshake::Newstyle, 0), (Handshake::FixedWithZeroes, 1), (Handshake::Fixed, 3)] {
        let Some(server) = Nbdkit::memory("1M").mode(mode).start() else {
            return;
        };
        assert_eq!(read_exactly(connect(server.socket()), 18), newstyle_greeting(flags));
    }
}

/// Asks for structured replies: the type of the answer.
fn ask_for_structured_replies(server: &nbd_testkit::Server) -> u32 {
    let mut stream = connect(server.socket());
    read_exactly(&stream, 18);
    stream.write_all(&3_u32.to_be_bytes()).unwrap();
    stream.write_all(b"IHAVEOPT\0\0\0\x08\0\0\0\0").unwrap();
    let reply = read_exactly(&stream, 20);
    u32::from_be_bytes(reply[12..16].try_into().unwrap())
}

#[test]
fn nbdkit_without_structured_replies() {
    let Some(server) = Nbdkit::memory("1M").start() else {
        return;
    };
    assert_eq!(ask_for_structured_replies(&server), 1, "ACK");
    let Some(server) = Nbdkit::memory("1M").no_structured_replies().start() else {
        return;
    };
    assert_eq!(ask_for_structured_replies(&server), 0x8000_0001, "ERR_UNSUP");
}

#[test]
fn nbdkit_with_a_file_and_options() {
    let nbdkit = Nbdkit::disk(disk()).filter("delay").arg("delay-read=1ms").readonly().threads(2).export("a b");
    let Some(server) = nbdkit.start() else { return };
    assert_eq!(read_exactly(connect(server.socket()), 18), newstyle_greeting(3));
    assert_eq!(std::fs::read(server.data_path()).unwrap(), disk().contents());
    assert!(server.uri().starts_with("nbd+unix:///a%20b?socket=/"), "{}", server.uri());
}

#[test]
fn qemu_nbd() {
    let plain = QemuNbd::new(disk());
    let states = [
        plain.clone(),
        plain.clone().export("x").description("text").shared(2).readonly(),
        plain.clone().qcow2().allocation_depth(),
        plain.bitmap("b", 65536, std::slice::from_ref(&(0..65536))).allocation_depth(),
    ];
    for state in states {
        let Some(server) = state.start() else { return };
        assert_eq!(read_exactly(connect(server.socket()), 18), newstyle_greeting(3));
    }
}

#[test]
fn nbd_server() {
    let Some(server) = NbdServer::new().export("one", disk()).start() else {
        return;
    };
    // Several clients, at once and one after the other.
    let first = connect(server.socket());
    for _ in 0..3 {
        assert_eq!(read_exactly(connect(server.socket()), 18), newstyle_greeting(3));
    }
    assert_eq!(read_exactly(first, 18), newstyle_greeting(3));
    assert_eq!(std::fs::read(server.data_path()).unwrap(), disk().contents());
}

#[test]
fn all_on_tcp() {
    let servers = [
        Nbdkit::memory("1M").tcp().start(),
        QemuNbd::new(disk()).tcp().start(),
        NbdServer::new().export("one", disk()).tcp().start(),
    ];
    for server in servers.into_iter().flatten() {
        let stream = TcpStream::connect(server.tcp_address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_exactly(stream, 18), newstyle_greeting(3));
        let start = format!("nbd://{}/", server.tcp_address());
        assert!(server.uri().starts_with(&start), "{}", server.uri());
    }
}

#[test]
fn a_failure_to_start_says_why() {
    let start = || Nbdkit::new("no-such-plugin").start();
    let Err(panic) = std::panic::catch_unwind(start) else {
        return;
    }; // not installed
    let message = panic.downcast::<String>().unwrap();
    let expected = "nbdkit did not start: exit status: 1; it wrote to standard error:\n";
    assert!(message.starts_with(expected) && message.contains("no-such-plugin"), "{message}");
}

#[test]
fn a_daemon_that_fails_to_start_says_why() {
    // It wants at least one export.
    let Err(panic) = std::panic::catch_unwind(|| NbdServer::new().start()) else {
        return;
    };
    let message = panic.downcast::<String>().unwrap();
    assert!(message.starts_with("nbd-server did not start: exit status: 1"), "{message}");
}
