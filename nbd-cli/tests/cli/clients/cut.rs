//! Connections that end anywhere leave nothing behind.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nbd_driver_std::Client;
use nbd_testkit::sparse_file;
use rustix::net::sockopt::set_socket_linger;

use super::life::Life;
use super::site::{Keeper, MIB, Replies, Site, Transport, Way};
use crate::serving::must_end;

const CUTS: usize = 200;

/// How many connections are open at once.
const AT_ONCE: usize = 6;

/// By how much the server may grow: not by 16 KiB for each connection. It was seen to vary by a fifth of this.
const GROWTH: u64 = 2 * MIB;

/// After this long, something was left behind. A witness was answered thousands of times meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

trait Socket: Read + Write + AsFd {
    fn half_close(&self);
}

impl Socket for TcpStream {
    fn half_close(&self) {
        // The server may have hung up already, and then that is an error.
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Socket for UnixStream {
    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

fn connect(uri: &str) -> Box<dyn Socket> {
    match uri.strip_prefix("nbd://") {
        Some(rest) => Box::new(TcpStream::connect(rest.trim_end_matches('/')).unwrap()),
        None => Box::new(UnixStream::connect(uri.split("socket=").nth(1).unwrap()).unwrap()),
    }
}

/// Plays a part of a life.
fn begin(uri: &str, random: &mut Rng) -> Box<dyn Socket> {
    let replies = [Replies::Simple, Replies::Structured, Replies::Extended][random.usize(..3)];
    let life = Life::new(replies, ["", "file"][random.usize(..2)]);
    // Most bytes are those of requests, but as much can go wrong before.
    let at_most = if random.usize(..3) == 0 { life.handshake } else { life.bytes.len() };
    let cut = random.usize(..=at_most);
    let mut socket = connect(uri);
    // The server may have hung up: a life may end with a goodbye.
    let _ = socket.write_all(&life.bytes[..cut]);
    if random.usize(..3) == 0 {
        // Some of the answers are taken; the greeting comes in any case.
        let _ = socket.read(&mut vec![0; 1 + random.usize(..1 << 20)]).unwrap();
    }
    socket
}

fn end(mut socket: Box<dyn Socket>, random: &mut Rng) {
    match random.usize(..3) {
        // With unread answers this is a reset, too.
        0 => drop(socket),
        1 => set_socket_linger(&socket, Some(Duration::ZERO)).unwrap(),
        _ => {
            socket.half_close();
            // What was asked for is answered, and then the server hangs up as well.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    }
}

fn cut_connections(uri: &str, random: &mut Rng) {
    let mut open = VecDeque::new();
    for _ in 0..CUTS {
        open.push_back(begin(uri, random));
        if open.len() == AT_ONCE {
            let socket = open.remove(random.usize(..AT_ONCE)).unwrap();
            end(socket, random);
        }
    }
    for socket in open {
        end(socket, random);
    }
}

/// A client that stays, for whom nothing may change.
struct Witness {
    client: Client,
}

impl Witness {
    /// The first client of all. It fills the disk, so that nothing grows there later.
    fn new(uri: &str) -> Self {
        let witness = Self { client: Client::connect(uri).unwrap() };
        for at in (0..8 * MIB).step_by(16 << 10) {
            witness.client.write_at(&[1; 16 << 10], at).unwrap();
        }
        witness.client.write_at(b"witness!", 8 * MIB).unwrap();
        witness.looks();
        witness
    }

    fn looks(&self) {
        let mut bytes = [0; 8];
        self.client.read_at(&mut bytes, 8 * MIB).unwrap();
        assert_eq!(&bytes, b"witness!");
    }
}

/// Numbers of file descriptors and threads.
fn holdings(proc: &Path) -> [usize; 2] {
    ["fd", "task"].map(|of| fs::read_dir(proc.join(of)).unwrap().count())
}

/// Bytes that are in memory.
pub(super) fn resident(proc: &Path) -> u64 {
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// Waits until the server has forgotten all connections but the witness's.
fn await_rest(proc: &Path, witness: &Witness, before: [usize; 2]) {
    let start = Instant::now();
    while holdings(proc) != before {
        witness.looks();
        assert!(start.elapsed() < PATIENCE, "descriptors and threads: {before:?} became {:?}", holdings(proc));
    }
}

fn nothing_grows(transport: Transport, seed: u64) {
    println!("the seed is {seed}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    sparse_file(&file, 8 * MIB, &[(0, vec![1; 8 << 20])]);
    let export = format!("--export=file=file:{}", file.display());
    let way = Way::new(Keeper::Memory, transport, Replies::Extended);
    let site: Site = way.serve_measured(8 * MIB + 8, &[&export]);
    let witness = Witness::new(&site.uri);
    let proc = site.proc();
    let mut random = Rng::with_seed(seed);
    let uri = site.uri.clone();
    must_end(move || {
        let before = holdings(&proc);
        // What is taken once and kept is no growth.
        cut_connections(&uri, &mut random);
        await_rest(&proc, &witness, before);
        let resident_before = resident(&proc);
        cut_connections(&uri, &mut random);
        await_rest(&proc, &witness, before);
        let resident_after = resident(&proc);
        println!("{before:?} {resident_before} {resident_after}");
        let grown = resident_after.saturating_sub(resident_before);
        assert!(grown < GROWTH, "{grown} bytes more than before");
        witness.client.shutdown().unwrap();
    });
    site.end_with_complaints();
}

#[test]
fn two_hundred_cuts_over_tcp() {
    nothing_grows(Transport::Tcp, 1);
}

#[test]
fn two_hundred_cuts_over_a_unix_socket() {
    nothing_grows(Transport::Unix, 2);
}
