//! Many threads over one connection. The modules below are what only a client that threads share has to do.

mod both_ways;
mod chaos;
mod failures;
mod observer;
mod queue;
mod shutdown;
mod timeouts;

use std::sync::Arc;
use std::thread;

use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, pattern};

use crate::driver::nbd_proto::handshake::ReplyStyle;
use crate::driver::{Client, ConnectOptions};
use crate::peer::{ALL, oldstyle};
use crate::support::{MIB, assert_same, contents, must_end};
use crate::users::{BASE, PART, blocking_user, queue_user};

const THREADS: u64 = 16;
const QUEUES: u64 = 4;

fn disk() -> Disk {
    Disk::patterned(((THREADS + QUEUES) * PART) as usize, 1)
}

/// All of them, at once. Returns what must be on the disk afterwards.
fn run(client: &Client, initial: &[u8], turns: u64) -> Vec<u8> {
    thread::scope(|scope| {
        let users: Vec<_> = (0..THREADS + QUEUES)
            .map(|number| {
                let start = number * PART;
                let mut model = initial[start as usize..][..PART as usize].to_vec();
                scope.spawn(move || {
                    if number < THREADS {
                        blocking_user(client, start, &mut model, turns);
                    } else {
                        queue_user(client, start, &mut model, turns / 20 + 1);
                    }
                    model
                })
            })
            .collect();
        users.into_iter().flat_map(|user| user.join().unwrap()).collect()
    })
}

fn everybody_reads_what_was_written(server: Option<Server>, options: &ConnectOptions, style: ReplyStyle) {
    let Some(server) = server else { return };
    let options = options.clone();
    must_end(move || {
        let client = options.meta_context(BASE).connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().reply_style, style);
        let model = run(&client, &disk().contents(), 40);
        client.flush().unwrap();
        assert_same(&contents(&server), &model);
        client.shutdown().unwrap();
    });
}

#[test]
fn everybody_reads_what_was_written_over_unix() {
    let server = Nbdkit::disk(disk()).threads(16).start();
    everybody_reads_what_was_written(server, &ConnectOptions::new(), ReplyStyle::Structured);
}

#[test]
fn everybody_reads_what_was_written_over_tcp() {
    let server = Nbdkit::disk(disk()).threads(16).tcp().start();
    everybody_reads_what_was_written(server, &ConnectOptions::new(), ReplyStyle::Structured);
}

#[test]
fn everybody_reads_what_was_written_by_simple_replies() {
    let server = Nbdkit::disk(disk()).threads(16).no_structured_replies().start();
    everybody_reads_what_was_written(server, &ConnectOptions::new(), ReplyStyle::Simple);
}

#[test]
fn everybody_reads_what_was_written_by_extended_headers() {
    let server = QemuNbd::new(disk()).extended_headers().tcp().start();
    everybody_reads_what_was_written(server, &ConnectOptions::new(), ReplyStyle::Extended);
}

#[test]
fn fewer_places_than_threads() {
    let server = Nbdkit::disk(disk()).threads(16).start();
    everybody_reads_what_was_written(server, &ConnectOptions::new().max_in_flight(3), ReplyStyle::Structured);
}

#[test]
fn one_place_for_all() {
    let server = QemuNbd::new(disk()).start();
    let options = ConnectOptions::new().max_in_flight(1).extended_headers(false);
    everybody_reads_what_was_written(server, &options, ReplyStyle::Structured);
}

#[test]
fn requests_in_pieces() {
    let server = Nbdkit::disk(disk())
        .filter("blocksize-policy")
        .arg("blocksize-maximum=64K")
        .arg("blocksize-error-policy=error")
        .start();
    everybody_reads_what_was_written(server, &ConnectOptions::new(), ReplyStyle::Structured);
}

#[test]
fn replies_in_any_order_find_their_threads() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), 4 * MIB, ALL, |peer| {
            let disk = pattern(4 << 20, 1);
            let mut waiting = Vec::new();
            // As soon as all have asked, the last is answered first.
            while let Some(request) = peer.request() {
                if request.kind == crate::peer::DISC {
                    break;
                }
                waiting.push(request);
                if waiting.len() == 16 {
                    for request in waiting.drain(..).rev() {
                        peer.reply(&request, 0, &disk[request.range()]);
                    }
                }
            }
        });
        let disk = Arc::new(pattern(4 << 20, 1));
        thread::scope(|scope| {
            for number in 0..16 {
                let (client, disk) = (client.clone(), Arc::clone(&disk));
                scope.spawn(move || {
                    for turn in 0..20u64 {
                        let mut data = vec![0; 1 << ((turn + number) % 18)];
                        let at = number * 200_000 + turn * 1000;
                        client.read_at(&mut data, at).unwrap();
                        assert_same(&data, &disk[at as usize..][..data.len()]);
                    }
                });
            }
        });
        drop(client);
        server.join().unwrap();
    });
}
