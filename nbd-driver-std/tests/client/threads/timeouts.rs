//! Many threads that wait for a server that is late, or silent, or gone.

use std::sync::mpsc;
use std::thread;

use nbd_testkit::{Disk, Nbdkit, QemuNbd};

use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{ALL, oldstyle};
use crate::support::{MIB, connection_error, must_end};
use crate::timeouts::{SHORT, close_ears, hang_up_after};

#[test]
fn a_request_that_is_never_answered_ends_all_of_them() {
    must_end(|| {
        let options = ConnectOptions::new().request_timeout(Some(SHORT)).max_in_flight(4);
        let (client, server) = oldstyle(&options, MIB, ALL, |peer| {
            // The end comes from the client, though none of its clones is gone.
            while peer.request().is_some() {}
        });
        thread::scope(|scope| {
            // Some wait for a reply, the others for room.
            let users: Vec<_> = (0..10)
                .map(|number| {
                    let client = &client;
                    scope.spawn(move || match number % 3 {
                        0 => client.read_at(&mut [0; 512], 0),
                        1 => client.write_at(&vec![0; 500_000], 0),
                        _ => client.queue().read(vec![0; 512], 0).map(drop).or_else(|_| client.flush()),
                    })
                })
                .collect();
            let errors: Vec<_> = users.into_iter().filter_map(|user| user.join().unwrap().err()).collect();
            assert!(!errors.is_empty());
            for error in errors {
                assert_eq!(connection_error(Err::<(), _>(error)), "a request was not answered within 300 ms");
            }
        });
        server.join().unwrap();
        assert_eq!(connection_error(client.flush()), "a request was not answered within 300 ms");
    });
}

/// Everybody who waits, in all the ways there are.
fn all_fail(client: &Client, end: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let mut users = Vec::new();
        for number in 0..12 {
            users.push(scope.spawn(move || {
                loop {
                    match number % 4 {
                        0 => client.read_at(&mut vec![0; 100_000], 0)?,
                        1 => client.write_at(&vec![0; 100_000], 0)?,
                        2 => client.flush()?,
                        _ => {
                            let mut queue = client.queue();
                            while queue.read(vec![0; 100_000], 0).is_ok() {}
                            match queue.wait() {
                                Some(completion) => completion.result?,
                                None => client.flush()?,
                            }
                        }
                    }
                }
            }));
        }
        end();
        for user in users {
            let result: Result<(), Error> = user.join().unwrap();
            connection_error(result);
        }
    });
    connection_error(client.read_at(&mut [0; 1], 0));
}

#[test]
fn a_server_that_is_killed_in_the_middle() {
    must_end(|| {
        let disk = || Disk::patterned(1 << 20, 1);
        let servers = [
            Nbdkit::disk(disk()).start(),
            Nbdkit::disk(disk()).tcp().start(),
            QemuNbd::new(disk()).start(),
            Nbdkit::disk(disk()).filter("delay").arg("delay-read=3600").start(),
        ];
        for mut server in servers.into_iter().flatten() {
            let client = ConnectOptions::new().max_in_flight(6).connect(&server.uri()).unwrap();
            client.flush().unwrap();
            all_fail(&client, move || server.kill());
        }
    });
}

#[test]
fn a_server_that_hangs_up_in_the_middle_of_a_reply() {
    must_end(|| {
        for cut in [3, 16, 17, 16 + 50_000] {
            let options = ConnectOptions::new().max_in_flight(6);
            let (client, server) = oldstyle(&options, MIB, ALL, move |peer| hang_up_after(peer, cut));
            let error = connection_error(client.read_at(&mut vec![0; 100_000], 0));
            assert!(error.contains("in the middle of a reply"), "{error}");
            all_fail(&client, || ());
            drop(client);
            server.join().unwrap();
        }
    });
}

/// A server that reads no more, but says nothing and stays: what cannot be sent is never answered. One thread waits
/// for what it has asked already when the other learns of it.
#[test]
fn a_server_that_closes_its_ears() {
    must_end(|| {
        let (closed, is_closed) = mpsc::channel();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| close_ears(peer, &closed));
        thread::scope(|scope| {
            let reader = scope.spawn(|| client.read_at(&mut [0; 512], 0));
            is_closed.recv().unwrap();
            for result in [client.write_at(&[1; 512], 0), reader.join().unwrap()] {
                let error = connection_error(result);
                assert!(error.contains("sending"), "{error}");
            }
        });
        drop(client);
        server.join().unwrap();
    });
}
