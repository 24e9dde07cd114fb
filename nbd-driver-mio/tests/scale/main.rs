//! A thousand connections in one loop on one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod due;
mod fleet;
mod limits;
mod patient;
mod site;
mod worker;

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use mio::net::UnixListener;
use nbd_driver_mio::{ClientOptions, Socket, Stream};
use nbd_testkit::{Disk, Nbdkit, must_end};

use self::fleet::Fleet;
use self::patient::{Meter, Patient};
use self::site::Site;
use self::worker::{SHARED, Worker, disk};

const CONNECTIONS: usize = 1000;

/// How many requests each connection makes.
const REQUESTS: usize = 24;

/// All that a turn moves each way, in bytes, beside one call; and how many calls it makes.
const TURN: (usize, usize) = (256 * 1024, 64);

/// A server of ours in a thread of its own, and what its disk holds in the end.
struct Ours {
    _dir: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<Vec<u8>>,
}

impl Ours {
    fn start<S: Stream + 'static>(
        disk: Vec<u8>,
        wrap: impl FnMut(usize, Socket) -> S + Send + 'static,
        after: impl FnMut(usize) + Send + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut after = after;
        let thread = thread::spawn(move || Site::new(listener, disk, wrap).serve(CONNECTIONS, |index, _| after(index)));
        Self { _dir: dir, path, thread }
    }

    fn end(self) -> Vec<u8> {
        self.thread.join().unwrap()
    }
}

fn workers(disk: &[u8], requests: usize) -> Vec<Worker> {
    (0..CONNECTIONS).map(|index| Worker::new(index, requests, disk)).collect()
}

/// All of the work on all connections. `first` is called when the first of them has done its part.
fn work_all(socket: &Path, disk: &[u8], first: impl FnOnce(&[Worker])) -> Vec<Worker> {
    let mut workers = workers(disk, REQUESTS);
    let mut first = Some(first);
    let mut fleet = Fleet::connect(CONNECTIONS, ClientOptions::default(), |_| Socket::connect_unix(socket));
    for (index, worker) in workers.iter_mut().enumerate() {
        assert!(worker.work(fleet.client(index), &disk[..SHARED]));
    }
    let mut finished = 0;
    while finished < CONNECTIONS {
        fleet.round(&mut |index, client| {
            let worker = &mut workers[index];
            let before = worker.done;
            let asked = worker.work(client, &disk[..SHARED]);
            if before < REQUESTS && worker.done == REQUESTS {
                finished += 1;
                if let Some(first) = first.take() {
                    first(&workers);
                }
            }
            asked
        });
    }
    fleet.disconnect();
    workers
}

#[test]
fn a_thousand_connections_to_nbdkit_read_and_write_what_they_should() {
    must_end(|| {
        if !limits::can_open(CONNECTIONS as u64 + 100) {
            return;
        }
        let content = disk(CONNECTIONS);
        // One thread for each connection is enough for nbdkit.
        let peer = Nbdkit::disk(Disk::empty(content.len() as u64).data(0, &content[..])).threads(1);
        let Some(server) = peer.start() else { return };
        // Nothing is said of fairness: its threads run as the system lets them.
        let workers = work_all(server.socket(), &content, |_| {});
        let after = std::fs::read(server.data_path()).unwrap();
        assert!(workers.iter().all(|worker| worker.agrees_with(&after)));
        assert!(after[..SHARED] == content[..SHARED]);
    });
}

#[test]
fn a_thousand_connections_in_one_loop_are_served_fairly_by_another_loop() {
    must_end(|| {
        if !limits::can_open(2 * CONNECTIONS as u64 + 100) {
            return;
        }
        let content = disk(CONNECTIONS);
        let server = Ours::start(content.clone(), |_, socket| socket, |_| {});
        let workers = work_all(&server.path, &content, |workers| {
            // A round of either loop serves all that are ready then. An answer takes one round of each, and whoever is not
            // ready in the one is in the next: nobody is more than twice as fast as another. Twice that is allowed.
            let slowest = workers.iter().map(|worker| worker.done).min().unwrap();
            assert!(slowest >= REQUESTS / 4, "one has done {REQUESTS}, another {slowest}");
        });
        let after = server.end();
        assert!(workers.iter().all(|worker| worker.agrees_with(&after)));
        assert!(after[..SHARED] == content[..SHARED]);
    });
}

/// The busy connection's requests.
const LONG: (usize, usize) = (128, 256 * 1024);

/// What was moved in a turn is no more than the documentation says.
fn hold_to_its_share(meter: &Meter) {
    let mut count = meter.look();
    assert!(count.bytes <= TURN.0 + count.most, "{count:?}");
    assert!(count.calls <= TURN.1, "{count:?}");
    (count.bytes, count.calls) = (0, 0);
}

#[test]
fn one_busy_connection_does_not_keep_a_thousand_others_waiting() {
    must_end(|| {
        if !limits::can_open(2 * CONNECTIONS as u64 + 100) {
            return;
        }
        let content = disk(CONNECTIONS);
        // The busy one is the first. In neither loop does its stream ever block while data is owed.
        let (sending, receiving) = (Meter::default(), Meter::default());
        let (at_server, watched) = (sending.clone(), sending.clone());
        let server = Ours::start(
            content.clone(),
            move |index, socket| match index {
                0 => Patient { writes: at_server.clone(), ..Patient::new(socket) },
                _ => Patient::new(socket),
            },
            move |index| {
                if index == 0 {
                    hold_to_its_share(&watched);
                }
            },
        );
        let options = ClientOptions::default();
        let mut fleet = Fleet::connect(CONNECTIONS, options, |index| {
            let stream = Patient::new(Socket::connect_unix(&server.path)?);
            Ok(if index == 0 { Patient { reads: receiving.clone(), ..stream } } else { stream })
        });
        let (count, length) = LONG;
        sending.look().patience = count * length;
        *receiving.look() = patient::Count { patience: count * length, ..patient::Count::default() };
        for _ in 0..count {
            fleet.client(0).read(vec![0; length], 0).unwrap();
        }
        let mut workers = workers(&content, REQUESTS);
        for (index, worker) in workers.iter_mut().enumerate().skip(1) {
            worker.work(fleet.client(index), &content[..SHARED]);
        }
        let mut left = count;
        while left > 0 || workers.iter().skip(1).any(|worker| worker.done < REQUESTS) {
            fleet.round(&mut |index, client| {
                if index > 0 {
                    return workers[index].work(client, &content[..SHARED]);
                }
                hold_to_its_share(&receiving);
                while let Some(done) = client.completion() {
                    done.result.unwrap();
                    assert!(done.buffer[..] == content[..length]);
                    left -= 1;
                    // It moved as much in each of its turns as it may, and yet all others had theirs between them.
                    assert!(left > 0 || workers[1..].iter().all(|worker| worker.done > 0));
                }
                false
            });
        }
        fleet.disconnect();
        let after = server.end();
        assert!(workers.iter().all(|worker| worker.agrees_with(&after)));
    });
}
