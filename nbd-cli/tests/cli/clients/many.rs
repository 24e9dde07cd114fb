//! Many clients at the same moment.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Barrier;
use std::thread;

use nbd_driver_std::Client;
use nbd_testkit::{Tool, pattern};

use super::site::{KIB, Keeper, MIB, Replies, Transport, Way, utf8};
use crate::common::assert_same;
use crate::serving::must_end;

const CLIENTS: usize = 100;

/// How much of the disk belongs to each client. It is no multiple of anything that a backend works with.
const PART: u64 = 160 * KIB + 512;

/// What a client writes in a round.
fn bytes(client: usize, round: u64) -> Vec<u8> {
    pattern(4096, (client as u64) << 8 | round).repeat(41)[..PART as usize].to_vec()
}

/// All have connected before the first of them begins, and the last has ended before the first leaves.
fn work(uri: &str) {
    let clients: Vec<Client> = thread::scope(|scope| {
        let connect = || Client::connect(uri).unwrap();
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for (number, client) in clients.iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let offset = number as u64 * PART;
                let mut back = vec![0; PART as usize];
                for round in 0..3 {
                    let bytes = bytes(number, round);
                    // In two pieces, the odd one first.
                    client.write_at(&bytes[5000..], offset + 5000).unwrap();
                    client.write_at(&bytes[..5000], offset).unwrap();
                    client.read_at(&mut back, offset).unwrap();
                    assert_same(&back, &bytes);
                }
                client.flush().unwrap();
            });
        }
    });
    // What one has written and flushed, any other sees.
    for (number, client) in clients.iter().enumerate() {
        let next = (number + 1) % CLIENTS;
        let mut back = vec![0; PART as usize];
        client.read_at(&mut back, next as u64 * PART).unwrap();
        assert_same(&back, &bytes(next, 2));
    }
    for client in clients {
        client.shutdown().unwrap();
    }
}

fn hundred_clients(way: Way) {
    let site = way.serve(PART * CLIENTS as u64);
    let uri = site.uri.clone();
    must_end(move || work(&uri));
    let expected: Vec<u8> = (0..CLIENTS).flat_map(|number| bytes(number, 2)).collect();
    assert_same(&site.contents(), &expected);
    // And one more, as if nothing had been.
    let client = Client::connect(&site.uri).unwrap();
    client.write_at(b"still here", 1).unwrap();
    client.shutdown().unwrap();
    let log = site.end();
    assert!(log.replies().len() > CLIENTS, "{way:?}");
    log.assert_agreed(way.replies);
}

#[test]
fn a_hundred_clients_share_memory() {
    hundred_clients(Way::new(Keeper::Memory, Transport::Unix, Replies::Extended));
    hundred_clients(Way::new(Keeper::Memory, Transport::Tcp, Replies::Simple));
}

#[test]
fn a_hundred_clients_share_a_file() {
    hundred_clients(Way::new(Keeper::File, Transport::Tcp, Replies::Extended));
    hundred_clients(Way::new(Keeper::File, Transport::Unix, Replies::Structured));
}

#[test]
fn a_dozen_programs_copy_the_same_disk_at_once() {
    if !nbd_testkit::require(&[Tool::Nbdcopy]) {
        return;
    }
    let site = Way::new(Keeper::File, Transport::Unix, Replies::Extended).serve(4 * MIB);
    site.fill(&[(MIB, pattern(2 << 20, 1))]);
    let copies: Vec<_> = (0..12).map(|number| site.path(&format!("copy{number}"))).collect();
    let start = |copy: &PathBuf| {
        let mut command = Tool::Nbdcopy.command().unwrap();
        command.args([&site.uri, utf8(copy)]).stdin(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<Child> = copies.iter().map(start).collect();
    must_end(move || {
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    });
    let expected = site.contents();
    for copy in copies {
        assert_same(&fs::read(copy).unwrap(), &expected);
    }
    site.end();
}
