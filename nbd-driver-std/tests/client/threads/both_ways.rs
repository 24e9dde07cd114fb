//! Both directions full at once, by many threads.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::both_ways::{BLOCKS, EACH_WAY, LENGTH, all_at_once, data, disk, finishes, narrow, one_at_a_time, place};
use crate::driver::Client;
use crate::peer::{READ, WRITE};
use crate::support::{assert_same, must_end};

/// Half of the threads read, half of them write, several times each.
fn by_threads(client: &Client) {
    thread::scope(|scope| {
        for number in 0..2 * EACH_WAY {
            scope.spawn(move || {
                for _ in 0..3 {
                    let mut mine = data(number);
                    if number % 2 == 0 {
                        client.write_at(&mine, place(number)).unwrap();
                    } else {
                        mine.fill(0);
                        client.read_at(&mut mine, place(number)).unwrap();
                        assert_same(&mine, &data(number));
                    }
                }
            });
        }
    });
}

#[test]
fn a_server_that_reads_nothing_until_its_reply_is_taken_and_threads() {
    finishes::<UnixStream>(one_at_a_time, by_threads);
}

#[test]
fn a_server_that_replies_to_nothing_until_it_has_read_all_and_threads() {
    finishes::<UnixStream>(all_at_once, by_threads);
}

#[test]
fn the_same_over_tcp_and_threads() {
    finishes::<TcpStream>(one_at_a_time, by_threads);
}

/// Threads and a queue together, where the server answers writes at once and reads only when it must.
#[test]
fn a_queue_of_writes_beside_threads_that_read() {
    must_end(|| {
        let (client, server) = narrow::<UnixStream>(|peer| {
            let mut disk = disk();
            disk.resize(LENGTH * BLOCKS as usize, 0);
            let mut reads = Vec::new();
            while let Some(request) = peer.request() {
                match request.kind {
                    READ => reads.push(request),
                    WRITE => {
                        peer.perform(&request, &mut disk);
                        if let Some(read) = reads.pop() {
                            peer.perform(&read, &mut disk);
                        }
                    }
                    _ => break,
                }
            }
        });
        thread::scope(|scope| {
            for number in 0..EACH_WAY {
                let client = &client;
                scope.spawn(move || {
                    let mut mine = vec![0; LENGTH];
                    client.read_at(&mut mine, place(number)).unwrap();
                    assert_same(&mine, &data(number));
                });
            }
            // As many writes, one after the other, make the server answer every read.
            let mut queue = client.queue();
            let mut ended = 0;
            let mut number = EACH_WAY;
            while ended < 4 * EACH_WAY {
                while queue.in_flight() < 4 {
                    queue.write(data(number), place(number)).unwrap();
                    number += 1;
                }
                queue.wait().unwrap().result.unwrap();
                ended += 1;
            }
            while let Some(completion) = queue.wait() {
                completion.result.unwrap();
            }
        });
        drop(client);
        server.join().unwrap();
    });
}
