//! Verified random writes over dozens of kills.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use nbd_driver_std::nbd_proto::transmission::Command;
use nbd_driver_std::nbd_proto::wire::number::CommandType;
use nbd_driver_std::{Client, Ticket};
use nbd_testkit::{Bird, Phoenix, must_end};

use super::patient::options;

const SIZE: u64 = 1 << 20;
const KILLS: usize = 30;

/// What the disk holds, byte by byte.
struct Model {
    /// As of all that has been answered.
    now: Vec<u8>,
    /// As of the last flush that was answered: what has to be in the file itself whenever the server ends. `None` where
    /// a write was under way since that flush was asked for.
    safe: Vec<Option<u8>>,
    /// The same, for each flush in flight.
    flushing: HashMap<Ticket, Vec<Option<u8>>>,
}

pub(crate) fn one_thread_with_a_queue(seed: u64, bird: Bird) {
    let Some(mut server) = Phoenix::new(SIZE, bird) else { return };
    server.start();
    let mut rng = Rng::with_seed(seed);
    let client = options().max_in_flight(16).connect(&server.uri()).unwrap();
    let mut queue = client.queue();
    let mut model = Model::new();
    // What is in flight, with what it is to change.
    let mut in_flight: HashMap<Ticket, (u64, bool, Vec<u8>)> = HashMap::new();
    let (mut kills, mut ended, mut next_kill, mut safe) = (0, 0_u64, 20, 0);
    while kills < KILLS || !in_flight.is_empty() {
        if kills < KILLS && in_flight.len() < 16 {
            let offset = rng.u64(..SIZE - 8192);
            let length = rng.usize(1..8192);
            let range = offset..offset + length as u64;
            // What a request meets that is in flight with another is nobody's to say.
            let free =
                in_flight.values().all(|(at, _, data)| *at >= range.end || at + data.len() as u64 <= range.start);
            if rng.u8(..12) == 0 {
                let ticket = queue.submit(Command::flush(), Vec::new()).unwrap();
                let writes = in_flight.values().filter(|(_, is_write, _)| *is_write);
                model.flush_begins(ticket, writes.map(|(at, _, data)| (*at, data.len())));
                in_flight.insert(ticket, (0, false, Vec::new()));
            } else if free {
                let read = rng.u8(..3) == 0;
                let data: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
                let ticket = if read {
                    queue.read(vec![0; length], offset).unwrap()
                } else {
                    model.write_begins(offset, length);
                    queue.write(data.clone(), offset).unwrap()
                };
                let data = if read { model.part(offset, length) } else { data };
                in_flight.insert(ticket, (offset, !read, data));
            }
            if rng.u8(..4) > 0 {
                continue;
            }
        }
        let completion = queue.wait().expect("something is in flight");
        completion.result.unwrap();
        ended += 1;
        let (offset, _, data) = in_flight.remove(&completion.ticket).expect("it ends once");
        match completion.command.command {
            CommandType::READ => assert!(completion.buffer == data, "seed {seed}: wrong data at {offset}"),
            CommandType::WRITE => model.now[offset as usize..][..data.len()].copy_from_slice(&data),
            _ => model.flush_ends(completion.ticket),
        }
        if ended >= next_kill && kills < KILLS {
            kills += 1;
            next_kill = ended + rng.u64(1..40);
            server.kill();
            safe += model.check_safe(&server, seed);
            server.start();
        }
    }
    assert!(safe > 0, "seed {seed}: no kill came behind a flush");
    client.flush().unwrap();
    // What was flushed is safe, however the server ends.
    server.kill();
    model.check(&server, seed);
    server.start();
    let mut read = vec![0; SIZE as usize];
    options().connect(&server.uri()).unwrap().read_at(&mut read, 0).unwrap();
    assert!(read == model.now, "seed {seed}: another connection reads something else");
    assert!(ended > 200, "seed {seed}: only {ended} requests");
}

impl Model {
    fn new() -> Self {
        let size = SIZE as usize;
        Self { now: vec![0; size], safe: vec![Some(0); size], flushing: HashMap::new() }
    }

    /// What was safe in this place may be written over from now on.
    fn write_begins(&mut self, offset: u64, length: usize) {
        for disk in self.flushing.values_mut().chain([&mut self.safe]) {
            disk[offset as usize..][..length].fill(None);
        }
    }

    /// It covers all that was answered before, and nobody knows what else.
    fn flush_begins(&mut self, ticket: Ticket, in_flight: impl Iterator<Item = (u64, usize)>) {
        let mut covered: Vec<_> = self.now.iter().copied().map(Some).collect();
        for (offset, length) in in_flight {
            covered[offset as usize..][..length].fill(None);
        }
        self.flushing.insert(ticket, covered);
    }

    fn flush_ends(&mut self, ticket: Ticket) {
        let covered = self.flushing.remove(&ticket).expect("a flush that began");
        for (safe, covered) in self.safe.iter_mut().zip(covered) {
            *safe = covered.or(*safe);
        }
    }

    /// How many written bytes a flush has made safe; all of them have to be in the file of the server that is dead now.
    fn check_safe(&self, server: &Phoenix, seed: u64) -> usize {
        let mut disk = vec![0; SIZE as usize];
        server.file().read_exact_at(&mut disk, 0).unwrap();
        let lost = self.safe.iter().zip(&disk).position(|(safe, found)| safe.is_some_and(|safe| safe != *found));
        assert_eq!(lost, None, "seed {seed}: where the disk has lost what was flushed");
        self.safe.iter().filter(|safe| safe.is_some_and(|safe| safe != 0)).count()
    }

    fn part(&self, offset: u64, length: usize) -> Vec<u8> {
        self.now[offset as usize..][..length].to_vec()
    }

    fn check(&self, server: &Phoenix, seed: u64) {
        let mut disk = vec![0; SIZE as usize];
        server.file().read_exact_at(&mut disk, 0).unwrap();
        let differs = self.now.iter().zip(&disk).position(|(expected, found)| expected != found);
        assert_eq!(differs, None, "seed {seed}: where the disk is not as it was written");
    }
}

/// Each thread has a part of the disk to itself, and knows what is in it.
fn worker(client: &Client, seed: u64, part: u64, enough: &AtomicBool) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let length = SIZE / 4;
    let mut own = vec![0; length as usize];
    while !enough.load(Ordering::Relaxed) {
        let at = rng.usize(..own.len() - 5000);
        let size = rng.usize(1..5000);
        match rng.u8(..8) {
            0 => client.flush().unwrap(),
            1 => {
                client.write_zeroes(part * length + at as u64, size as u64).unwrap();
                own[at..at + size].fill(0);
            }
            2 | 3 => {
                let mut buffer = vec![0; size];
                client.read_at(&mut buffer, part * length + at as u64).unwrap();
                assert!(buffer == own[at..at + size], "seed {seed}: wrong data");
            }
            _ => {
                let data: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size).collect();
                client.write_at(&data, part * length + at as u64).unwrap();
                own[at..at + size].copy_from_slice(&data);
            }
        }
    }
    client.flush().unwrap();
    own
}

pub(crate) fn threads_that_share_a_client(bird: Bird) {
    let Some(mut server) = Phoenix::new(SIZE, bird) else { return };
    server.start();
    let client = options().connect(&server.uri()).unwrap();
    let disk = must_end(move || {
        let enough = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..4)
            .map(|part| {
                let (client, enough) = (client.clone(), enough.clone());
                std::thread::spawn(move || worker(&client, 100 + part, part, &enough))
            })
            .collect();
        for _ in 0..KILLS {
            server.rise();
            // Some requests get through before the next kill.
            let mut probe = [0; 512];
            for _ in 0..8 {
                client.read_at(&mut probe, 0).unwrap();
            }
        }
        enough.store(true, Ordering::Relaxed);
        let expected: Vec<u8> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        server.kill();
        let mut disk = vec![0; SIZE as usize];
        server.file().read_exact_at(&mut disk, 0).unwrap();
        (expected, disk)
    });
    assert!(disk.0 == disk.1, "the disk is not as it was written");
}
