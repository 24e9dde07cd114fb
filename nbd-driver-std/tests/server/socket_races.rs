//! Several servers that want one path at the same time.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Barrier;
use std::thread;

use crate::driver::Listener;
use crate::support::must_end;

/// Races are lost rarely. With so many rounds, one was lost every time before it was mended.
const ROUNDS: usize = 300;

#[test]
fn one_of_those_that_find_a_socket_left_behind_has_it() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        for _ in 0..ROUNDS {
            drop(UnixListener::bind(&path).unwrap());
            let barrier = Barrier::new(4);
            let start = || {
                barrier.wait();
                Listener::unix(&path).ok()
            };
            let listeners: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(listeners.len(), 1, "servers that take the path for theirs");
            UnixStream::connect(&path).unwrap();
        }
    });
}

#[test]
fn a_server_that_ends_leaves_the_socket_of_its_successor() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        for _ in 0..ROUNDS {
            let first = Listener::unix(&path).unwrap();
            let successor = thread::scope(|scope| {
                let successor = scope.spawn(|| {
                    loop {
                        if let Ok(listener) = Listener::unix(&path) {
                            return listener;
                        }
                    }
                });
                drop(first);
                successor.join().unwrap()
            });
            UnixStream::connect(&path).unwrap();
            drop(successor);
        }
    });
}
