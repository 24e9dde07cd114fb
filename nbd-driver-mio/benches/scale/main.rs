//! Throughput as connections grow from 1 to 1,000: `cargo run --release -p nbd-driver-mio --example scale`.
//!
//! `--svg FILE` draws it too. `--quick` only shows that all of it works. The server is a process of its own: `--serve SOCKET` makes this one that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "numbers of connections and operations are small")]

#[path = "../../tests/scale/due.rs"]
mod due;
#[path = "../../tests/scale/fleet.rs"]
mod fleet;
#[path = "../../tests/scale/limits.rs"]
mod limits;
mod measure;
mod picture;
#[path = "../../tests/scale/site.rs"]
mod site;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mio::net::UnixListener;
use nbd_testkit::Nbdkit;

use self::measure::{DISK, Load, Speed, measure};
use self::picture::{Line, draw};
use self::site::Site;

const CONNECTIONS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// With `--quick`.
const FEW: [usize; 2] = [1, 20];

/// How often each is measured, all in turns, so that a bad time of the machine is everybody's.
const RUNS: usize = 7;

/// How long one measurement takes, and with `--quick`.
const TIME: Duration = Duration::from_millis(120);
const SHORT: Duration = Duration::from_millis(10);

const LOADS: [(Load, &str); 4] = [
    (Load::Hopping(1), "1 in flight in all, from connection to connection"),
    (Load::Hopping(16), "16 in flight in all, from connection to connection"),
    (Load::Divided(1000), "1,000 in flight in all, divided"),
    (Load::Each(1), "1 in flight on each connection"),
];

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(PathBuf::from)
    };
    assert!(limits::can_open(1100), "too few files may be open");
    if let Some(socket) = after("--serve") {
        // Under its name it is found only once it is listened on.
        let unnamed = socket.with_extension("new");
        let listener = UnixListener::bind(&unnamed).unwrap();
        std::fs::rename(&unnamed, &socket).unwrap();
        Site::new(listener, vec![7; DISK as usize], |_, socket| socket).serve(usize::MAX, |_, _| {});
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let (counts, runs, time) = if quick { (&FEW[..], 1, SHORT) } else { (&CONNECTIONS[..], RUNS, TIME) };
    let ours = Ours::start();
    let nbdkit = Nbdkit::memory("64M").threads(1).start();
    let mut servers = vec![("server of this crate", ours.socket())];
    servers.extend(nbdkit.as_ref().map(|server| ("nbdkit", server.socket())));

    let mut speeds = vec![Vec::<Speed>::new(); servers.len() * LOADS.len() * counts.len()];
    for _ in 0..runs {
        let mut cells = speeds.iter_mut();
        for (_, socket) in &servers {
            for (load, _) in LOADS {
                for &connections in counts {
                    cells.next().unwrap().push(measure(socket, connections, load, time));
                }
            }
        }
    }

    let mut lines = Vec::new();
    let mut cells = speeds.iter();
    for (server, _) in &servers {
        for (_, load) in LOADS {
            println!("\n{server}: {load}");
            println!("connections   reads/s (least … most)   µs of the loop's thread each (least … most)");
            let mut points = Vec::new();
            for &connections in counts {
                let speeds = cells.next().unwrap();
                let operations = spread(speeds.iter().map(|speed| speed.operations));
                let [least, median, most] = operations;
                print!("{connections:11}   {median:7.0} ({least:7.0} … {most:7.0})");
                let [least, median, most] = spread(speeds.iter().map(|speed| speed.processor));
                println!("   {median:5.2} ({least:5.2} … {most:5.2})");
                points.push((connections, operations));
            }
            lines.push(Line { name: format!("{server}: {load}"), points });
        }
    }
    if let Some(path) = after("--svg") {
        draw(&path, &lines).unwrap();
    }
}

/// Least, median and most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

/// A server of ours in a process of its own, which ends with this value.
struct Ours {
    dir: tempfile::TempDir,
    process: Child,
}

impl Ours {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let this = std::env::current_exe().unwrap();
        let process = Command::new(this).arg("--serve").arg(dir.path().join("socket")).spawn().unwrap();
        let ours = Self { dir, process };
        let started = Instant::now();
        while !ours.dir.path().join("socket").exists() {
            assert!(started.elapsed() < Duration::from_secs(10), "the server does not start");
            std::thread::yield_now();
        }
        ours
    }

    fn socket(&self) -> &'static Path {
        Box::leak(self.dir.path().join("socket").into_boxed_path())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
