//! Commands of many threads that fail: each hears of its own.

use std::thread;

use nbd_testkit::Nbdkit;

use crate::driver::Client;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::failures::{answer_a_stranger, patchy, read_patchy, structured};
use crate::support::{MIB, connection_error, must_end, server_error};

#[test]
fn one_of_many_fails_and_the_others_do_not_notice() {
    must_end(|| {
        let server = Nbdkit::new("eval")
            .arg("get_size=echo 16777216")
            .arg("pread=if [ $4 -ge 8388608 ]; then echo EIO bad sector >&2; exit 1; fi; head -c $3 /dev/zero")
            .arg("thread_model=echo parallel")
            .start();
        let Some(server) = server else { return };
        let client = Client::connect(&server.uri()).unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for turn in 0..5 {
                        let mut data = vec![1; 70_000];
                        let result = client.read_at(&mut data, (number % 2) * 8 * MIB + turn * 4096);
                        if number % 2 == 0 {
                            result.unwrap();
                            assert!(data.iter().all(|byte| *byte == 0));
                        } else {
                            assert_eq!(server_error(result), ErrorValue::EIO);
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn the_holes_of_one_thread_are_seen_by_another() {
    must_end(|| {
        let (client, server) = structured(patchy);
        thread::scope(|scope| {
            for number in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for turn in 0..10 {
                        read_patchy(client, number * MIB, 20_000 + turn);
                    }
                });
            }
        });
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn a_server_that_breaks_the_protocol_is_left_at_once() {
    must_end(|| {
        let (client, server) = structured(answer_a_stranger);
        thread::scope(|scope| {
            let users: Vec<_> = (0..8).map(|_| scope.spawn(|| client.read_at(&mut [0; 512], 0))).collect();
            for user in users {
                let error = connection_error(user.join().unwrap());
                assert!(error.contains("broke the NBD protocol"), "{error}");
            }
        });
        // The server sees the end though the client is still there.
        server.join().unwrap();
        connection_error(client.read_at(&mut [0; 512], 0));
    });
}
