//! A server that keeps to the protocol, and otherwise does what is most trouble: answers in any order, cut anywhere, one
//! reply inside the other, and reads or writes when it likes.

use std::time::Duration;

use fastrand::Rng;
use nbd_testkit::{Disk, pattern};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::driver::{Client, ConnectOptions};
use crate::peer::{DISC, Facts, Peer, READ, Request, WRITE, newstyle};
use crate::support::{assert_same, must_end};
use crate::users::{PART, blocking_user, queue_user};

/// A request and what is left to be said to it.
struct Pending {
    request: Request,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Pending {
    fn new(request: Request, disk: &mut [u8], random: &mut Rng) -> Self {
        let mut pieces = Vec::new();
        if request.kind == WRITE {
            disk[request.range()].copy_from_slice(&request.data);
        }
        if request.kind == READ {
            let mut rest = &disk[request.range()];
            let mut offset = request.offset;
            while !rest.is_empty() {
                let most = [10, 1000, 50_000, 1 << 20][random.u64(..4) as usize];
                let (piece, behind) = rest.split_at(1 + random.u64(..most.min(rest.len() as u64)) as usize);
                pieces.push((offset, piece.to_vec()));
                offset += piece.len() as u64;
                rest = behind;
                // No more than what a client has to put up with.
                if pieces.len() == 100 {
                    pieces.push((offset, std::mem::take(&mut rest).to_vec()));
                }
            }
            pieces.retain(|(_, piece)| !piece.is_empty());
        }
        Self { request, pieces }
    }

    /// Says one thing more; whether that was the last.
    fn answer(&mut self, peer: &mut Peer, random: &mut Rng) -> bool {
        if self.pieces.is_empty() {
            peer.chunk(&self.request, true, 0, &[]);
            return true;
        }
        let (offset, piece) = self.pieces.swap_remove(random.u64(..self.pieces.len() as u64) as usize);
        let last = self.pieces.is_empty() && random.u64(..2) == 0;
        if piece.iter().all(|byte| *byte == 0) {
            peer.chunk(
                &self.request,
                last,
                2,
                &[&offset.to_be_bytes()[..], &(piece.len() as u32).to_be_bytes()].concat(),
            );
        } else {
            peer.chunk(&self.request, last, 1, &[&offset.to_be_bytes()[..], &piece].concat());
        }
        last
    }
}

fn serve(peer: &mut Peer, mut disk: Vec<u8>, mut random: Rng) -> Vec<u8> {
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        let idle = pending.is_empty();
        if idle || random.u64(..3) == 0 && peer.comes_within(Duration::ZERO) {
            match peer.request().filter(|request| request.kind != DISC) {
                Some(request) => pending.push(Pending::new(request, &mut disk, &mut random)),
                None => return disk,
            }
            continue;
        }
        let which = random.u64(..pending.len() as u64) as usize;
        if pending[which].answer(peer, &mut random) {
            pending.swap_remove(which);
        }
    }
}

/// `users` work on the disk, and return what must be on it afterwards.
pub(crate) fn survives(
    seed: u64,
    options: &ConnectOptions,
    disk: Vec<u8>,
    users: impl FnOnce(&Client, &[u8]) -> Vec<u8> + Send + 'static,
) {
    let options = options.clone();
    must_end(move || {
        let mut disk = disk;
        // Some of it is holes.
        for (number, piece) in disk.chunks_mut(40_000).enumerate() {
            let hole = piece.len().min((number * 997) % 40_000);
            piece[..hole].fill(0);
        }
        let size = disk.len() as u64;
        // Flushes are offered.
        let facts = Facts { size, flags: 0b101, structured: true, ..Facts::default() };
        let initial = disk.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let (client, server) = newstyle(&options, facts, move |peer| {
            set_socket_send_buffer_size(&peer.0, 4096 << random_shift(seed)).unwrap();
            set_socket_recv_buffer_size(&peer.0, 4096).unwrap();
            sender.send(serve(peer, disk, Rng::with_seed(seed))).unwrap();
        });
        let model = users(&client, &initial);
        client.shutdown().unwrap();
        server.join().unwrap();
        assert_same(&receiver.recv().unwrap(), &model);
    });
}

/// Sizes of buffers from tiny to usual.
fn random_shift(seed: u64) -> usize {
    (pattern(1, seed)[0] % 7).into()
}

/// One part after the other, each by a queue or by calls; what the calls do is done beside two reads in a queue.
fn one_by_one(client: &Client, initial: &[u8]) -> Vec<u8> {
    let mut model = initial.to_vec();
    for (number, part) in (0..).zip(model.chunks_mut(PART as usize)) {
        let start = number * PART;
        if number % 2 == 0 {
            queue_user(client, start, part, 3);
            continue;
        }
        let mut queue = client.queue();
        // There, nobody has written yet.
        let behind = start + PART;
        for at in [0, PART / 2] {
            queue.read(vec![0xee; 100_000], behind + at).unwrap();
        }
        queue.send();
        blocking_user(client, start, part, 40);
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            assert_same(&completion.buffer, &initial[completion.command.offset as usize..][..100_000]);
        }
    }
    model
}

fn survives_one_thread(seed: u64, options: &ConnectOptions) {
    survives(seed, options, Disk::patterned(5 * PART as usize, 1).contents(), one_by_one);
}

#[test]
fn with_many_places() {
    survives_one_thread(11, &ConnectOptions::new());
}

#[test]
fn with_few_places() {
    survives_one_thread(12, &ConnectOptions::new().max_in_flight(3));
}

#[test]
fn with_a_time_limit_that_is_not_reached() {
    survives_one_thread(13, &ConnectOptions::new().request_timeout(Some(Duration::from_secs(50))));
}
