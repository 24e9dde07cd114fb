//! The relay, between real servers and real clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

#[path = "../../nbd-proto/tests/common/example.rs"]
mod example;
#[path = "../../nbd-proto/tests/common/short.rs"]
mod short;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use example::example;
use fastrand::Rng;
use nbd_driver_std::nbd_proto::handshake::ReplyStyle;
use nbd_driver_std::{Client, ConnectOptions, Error};
use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, Tool, must_end, pattern};
use tempfile::TempDir;

const SIZE: u64 = 1 << 20;

/// A relay that waits for its client.
struct Relay {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Relay {
    fn to(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(example("relay"));
        command.arg(server.uri()).arg(folder.path().join("socket")).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "listening");
        Self { child, said, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn uri(&self, server: &Server) -> String {
        format!("nbd+unix:///{}?socket={}", server.export(), self.socket().to_str().unwrap())
    }

    /// What it says at its end.
    fn end(mut self) -> String {
        assert!(self.child.wait().unwrap().success());
        self.said.next().unwrap().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Where a test has failed, it may run on.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WELL: &str = "the client ended Some(Ok(())), the server Some(Ok(()))";

fn disk() -> Disk {
    Disk::empty(SIZE).data(64 << 10, pattern(100_000, 1)).data(700 << 10, pattern(5, 2))
}

/// Random requests, several at once, checked against a model; then what is behind the server's export.
fn use_it(client: &Client, server: &Server) {
    let mut model = disk().contents();
    let mut random = Rng::with_seed(3);
    for _ in 0..20 {
        let mut queue = client.queue();
        let mut reads = Vec::new();
        // No two at the same place, for then the order would be open.
        for place in 0..16 {
            let (offset, most) = (place * 65_536 + random.u64(..30_000), 35_000);
            let length = 1 + random.u64(..most);
            if random.bool() {
                let data = pattern(length as usize, random.u64(..));
                model[offset as usize..][..data.len()].copy_from_slice(&data);
                queue.write(data, offset).unwrap();
            } else {
                reads.push(queue.read(vec![0xee; length as usize], offset).unwrap());
            }
        }
        while let Some(done) = queue.wait() {
            done.result.unwrap();
            if reads.contains(&done.ticket) {
                assert!(
                    done.buffer == model[done.command.offset as usize..][..done.buffer.len()],
                    "{:?}",
                    done.command
                );
            }
        }
    }
    client.write_zeroes(5000, 70_001).unwrap();
    model[5000..75_001].fill(0);
    client.flush().unwrap();
    assert!(fs::read(server.data_path()).unwrap() == model);
}

fn relays(server: Server, replies: ReplyStyle) {
    must_end(move || {
        let relay = Relay::to(&server);
        let client = ConnectOptions::new().meta_context("base:allocation").connect(&relay.uri(&server)).unwrap();
        assert_eq!((client.size(), client.negotiated().reply_style), (SIZE, replies));
        let first = client.block_status("base:allocation", 0..SIZE).unwrap().next().unwrap().unwrap();
        assert_eq!((first.offset, first.length, first.flags), (0, 64 << 10, 3));
        use_it(&client, &server);
        client.shutdown().unwrap();
        assert_eq!(relay.end(), WELL);
    });
}

#[test]
fn a_relay_passes_on_an_export_of_nbdkit() {
    let Some(server) = Nbdkit::disk(disk()).start() else { return };
    relays(server, ReplyStyle::Extended);
}

#[test]
fn a_relay_passes_on_an_export_of_qemu_nbd() {
    let Some(server) = QemuNbd::new(disk()).export("named").start() else { return };
    relays(server, ReplyStyle::Extended);
}

#[test]
fn a_client_of_another_project_copies_through_a_relay() {
    let Some(mut nbdcopy) = Tool::Nbdcopy.command() else { return };
    let Some(server) = Nbdkit::disk(disk()).start() else { return };
    must_end(move || {
        let relay = Relay::to(&server);
        let copy = relay.folder.path().join("copy");
        assert!(nbdcopy.arg(relay.uri(&server)).arg(&copy).status().unwrap().success());
        assert!(fs::read(copy).unwrap() == disk().contents());
        assert_eq!(relay.end(), WELL);
    });
}

#[test]
fn an_error_of_the_server_comes_through_with_its_words() {
    let Some(server) =
        Nbdkit::memory("1M").filter("error").arg("error-pread=ENOSPC").arg("error-pread-rate=100%").start()
    else {
        return;
    };
    must_end(move || {
        let relay = Relay::to(&server);
        let client = Client::connect(&relay.uri(&server)).unwrap();
        let error = client.read_at(&mut [0; 512], 0).unwrap_err().to_string();
        assert!(error.contains("ENOSPC"), "{error}");
        client.write_at(&[7; 512], 0).unwrap();
        client.shutdown().unwrap();
        assert_eq!(relay.end(), WELL);
    });
}

#[test]
fn a_client_hears_of_it_when_the_server_has_gone() {
    let Some(server) = Nbdkit::disk(disk()).start() else { return };
    must_end(move || {
        let relay = Relay::to(&server);
        let client = Client::connect(&relay.uri(&server)).unwrap();
        client.read_at(&mut [0; 512], 0).unwrap();
        drop(server);
        // Failed by the relay, or the connection is over: by then it has gone itself.
        let error = client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(error, Error::Command(_) | Error::Connection(_)), "{error:?}");
        let said = relay.end();
        assert!(said.starts_with("the client ended Some(Ok(()))") && said.contains("Some(Err("), "{said}");
    });
}

#[test]
fn each_example_has_less_than_150_lines() {
    short::all_are_short(env!("CARGO_MANIFEST_DIR"));
}
