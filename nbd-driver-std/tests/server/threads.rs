//! Many connections and threads at once, each with its own part of the disk and a model of it.

use std::thread;

use fastrand::Rng;

use crate::disk::TestDisk;
use crate::driver::{Client, Export, Listener, Server, ServerOptions};
use crate::support::{KIB, MIB, assert_same, must_end};

const CONNECTIONS: u64 = 6;
const THREADS: u64 = 4;
const PART: u64 = 512 * KIB;

fn user(client: &Client, start: u64, turns: u64) {
    let mut model = vec![0; PART as usize];
    let mut random = Rng::with_seed(start + 1);
    for turn in 0..turns {
        let at = random.u64(..PART);
        let most = if turn % 8 == 0 { PART } else { 20_000 };
        let length = 1 + random.u64(..most.min(PART - at));
        let range = at as usize..(at + length) as usize;
        match random.u64(..6) {
            0..=2 => {
                let mut data = vec![0xee; range.len()];
                client.read_at(&mut data, start + at).unwrap();
                assert_same(&data, &model[range]);
            }
            3 | 4 => {
                model[range.clone()].fill(random.u64(..256) as u8);
                client.write_at(&model[range], start + at).unwrap();
            }
            _ => {
                model[range].fill(0);
                client.write_zeroes(start + at, length).unwrap();
            }
        }
    }
}

fn all_agree(disk: TestDisk) {
    must_end(|| {
        let listener = Listener::tcp("127.0.0.1:0").unwrap();
        let uri = listener.uri("disk").unwrap();
        let server = Server::new(ServerOptions::new()).export(Export::shared("disk", disk.share()));
        let running = server.start([listener]).unwrap();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(&uri).unwrap()).collect();
        thread::scope(|scope| {
            for (number, client) in (0..).zip(&clients) {
                for thread in 0..THREADS {
                    scope.spawn(move || user(client, (number * THREADS + thread) * PART, 60));
                }
            }
        });
        for client in &clients {
            client.shutdown().unwrap();
        }
        running.stop();
        assert_eq!(running.wait().unwrap().connections, CONNECTIONS);
    });
}

#[test]
fn with_workers() {
    all_agree(TestDisk::empty(CONNECTIONS * THREADS * PART));
}

#[test]
fn without_workers() {
    all_agree(TestDisk::empty(CONNECTIONS * THREADS * PART).immediate());
}

#[test]
fn memory_that_was_used_for_zeroes_and_data_is_never_mixed_up() {
    must_end(|| {
        let server = crate::support::serve(TestDisk::empty(4 * MIB).share());
        let client = server.connect();
        user(&client, 0, 300);
        client.shutdown().unwrap();
        server.end();
    });
}
