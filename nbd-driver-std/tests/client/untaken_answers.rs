//! Answers to block status that nobody takes count, until somebody does or nobody can any more.

use std::thread::JoinHandle;

use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::transmission::Command;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::driver::{Client, ConnectOptions, Error, Queue};
use crate::endless_answers::{GIB, serve_extents, structured};
use crate::support::must_end;

/// A client with room for three of the server's answers.
fn start() -> (Client, JoinHandle<()>) {
    let options = ConnectOptions::new().max_status_memory(3 * 1024 * 24 + 1000);
    structured(&options, &["base:allocation"], |peer| serve_extents(peer, 1000))
}

/// So many requests, all of which have been answered.
fn answered(client: &Client, count: usize) -> Queue {
    let mut queue = client.queue();
    for _ in 0..count {
        queue.submit(Command::block_status(0, GIB), Vec::new()).unwrap();
    }
    queue.send();
    // The server answers in order.
    client.flush().unwrap();
    queue
}

fn has_room(client: &Client) -> bool {
    match client.block_status_once(0, GIB, CommandFlags::empty()) {
        Ok(_) => true,
        Err(Error::Command(CommandError::StatusTooLarge { .. })) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn of_a_queue_count_until_they_are_taken() {
    must_end(|| {
        let (client, server) = start();
        let mut queue = answered(&client, 3);
        assert!(!has_room(&client));
        queue.wait().unwrap().result.unwrap();
        assert!(has_room(&client) && has_room(&client));
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn of_a_queue_that_is_dropped_do_not_count() {
    must_end(|| {
        let (client, server) = start();
        let full = answered(&client, 3);
        assert!(!has_room(&client));
        drop(full);
        // They come in when the queue has gone already.
        let mut early = client.queue();
        for _ in 0..3 {
            early.submit(Command::block_status(0, GIB), Vec::new()).unwrap();
        }
        drop(early);
        client.flush().unwrap();
        assert!(has_room(&client));
        let mut last = answered(&client, 4);
        let ends: Vec<_> = std::iter::from_fn(|| last.wait()).map(|done| done.result.is_ok()).collect();
        assert_eq!(ends, [true, true, true, false]);
        drop((last, client));
        server.join().unwrap();
    });
}
