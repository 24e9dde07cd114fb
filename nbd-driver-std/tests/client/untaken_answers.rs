//! Answers to block status that nobody takes count, until somebody does or nobody can any more.

use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use nbd_driver_std::Reconnect;

use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::transmission::Command;
use crate::driver::{Client, ConnectOptions, Error, Queue};
use crate::endless_answers::{GIB, serve_extents, structured};
use crate::peer::{ALL, Facts, Peer};
use crate::support::must_end;

/// Clients with room for three of the server's answers. The second would replace a lost connection.
fn start() -> [(Client, JoinHandle<()>); 2] {
    let options = ConnectOptions::new().max_status_memory(3 * 1024 * 24 + 1000);
    let plain = structured(&options, &["base:allocation"], |peer| serve_extents(peer, 1000));
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = thread::spawn(move || {
        let mut peer = Peer(listener.accept().unwrap().0);
        let contexts = &["base:allocation"];
        peer.haggle(&Facts { size: GIB, flags: ALL, structured: true, contexts, ..Facts::default() });
        serve_extents(&mut peer, 1000);
    });
    let options = options.meta_context("base:allocation").reconnect(Some(Reconnect::new()));
    let lasting = options.connect(&format!("nbd+unix:///?socket={}", socket.display())).unwrap();
    [plain, (lasting, server)]
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
    match answered(client, 1).wait().unwrap().result {
        Ok(()) => true,
        Err(Error::Command(CommandError::StatusTooLarge { .. })) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn of_a_queue_count_until_they_are_taken() {
    must_end(|| {
        for (client, server) in start() {
            let mut queue = answered(&client, 3);
            assert!(!has_room(&client));
            queue.wait().unwrap().result.unwrap();
            assert!(has_room(&client) && has_room(&client));
            drop((queue, client));
            server.join().unwrap();
        }
    });
}

#[test]
fn of_a_queue_that_is_dropped_do_not_count() {
    must_end(|| {
        for (client, server) in start() {
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
        }
    });
}
