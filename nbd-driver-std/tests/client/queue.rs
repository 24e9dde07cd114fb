//! Many requests in flight from one thread: each comes back once, with its buffer, whatever happens.

use std::collections::HashSet;

use nbd_testkit::{Disk, Nbdkit, QemuNbd, pattern};

use crate::driver::nbd_proto::error::{CommandError, Refused};
use crate::driver::nbd_proto::transmission::Command;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Error, Queue};
use crate::peer::{ALL, READ, oldstyle};
use crate::support::{MIB, assert_same, connection_error, contents, must_end, refused};

#[test]
fn hundreds_of_requests_come_back_once_each() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let servers = [Nbdkit::disk(disk.clone()).threads(8).start(), QemuNbd::new(disk.clone()).start()];
        for server in servers.into_iter().flatten() {
            let client = ConnectOptions::new().max_in_flight(1000).connect(&server.uri()).unwrap();
            let mut queue = client.queue();
            let mut model = disk.contents();
            let mut expected = HashSet::new();
            for number in 0..500u64 {
                let offset = number * 2048;
                let ticket = if number % 2 == 0 {
                    queue.read(vec![0; 2048], offset).unwrap()
                } else {
                    let data = pattern(2048, number);
                    model[offset as usize..][..2048].copy_from_slice(&data);
                    queue.write(data, offset).unwrap()
                };
                assert!(expected.insert(ticket), "a ticket given twice");
            }
            queue.submit(Command::block_status(0, 1), Vec::new()).unwrap_err();
            expected.insert(queue.submit(Command::flush(), b"carried".to_vec()).unwrap());
            assert_eq!(queue.in_flight(), 501);
            while let Some(completion) = queue.wait() {
                completion.result.unwrap();
                assert!(expected.remove(&completion.ticket), "{:?} came twice", completion.ticket);
                let offset = completion.command.offset as usize;
                if completion.command == Command::flush() {
                    assert_eq!(completion.buffer, b"carried");
                } else {
                    assert_same(&completion.buffer, &model[offset..offset + 2048]);
                }
            }
            assert!(expected.is_empty());
            assert_eq!(queue.in_flight(), 0);
            client.flush().unwrap();
            assert_same(&contents(&server), &model);
        }
    });
}

#[test]
fn places_that_others_hold_can_be_waited_for() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new().max_in_flight(2), MIB, ALL, |peer| {
            peer.serve(pattern(1 << 20, 1));
        });
        let mut dropped = client.queue();
        dropped.read(vec![0; 300_000], 0).unwrap();
        dropped.send();
        let mut idle = client.queue();
        idle.read(vec![0; 300_000], 0).unwrap();
        drop(dropped);
        let mut queue = client.queue();
        for _ in 0..3 {
            while let Err(rejected) = queue.read(vec![0; 512], 512) {
                assert!(rejected.is_full(), "{rejected}");
                assert!(queue.wait().is_none_or(|completion| completion.result.is_ok()));
                queue.wait_for_room();
            }
        }
        while queue.wait().is_some() {}
        idle.wait().unwrap().result.unwrap();
        client.shutdown().unwrap();
        // There is none, and there will be none.
        queue.wait_for_room();
        queue.read(vec![0; 512], 0).unwrap_err();
        server.join().unwrap();
    });
}

#[test]
fn a_full_queue_gives_the_buffer_back_and_goes_on_after_a_wait() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new().max_in_flight(4), MIB, ALL, |peer| {
            peer.serve(pattern(1 << 20, 1));
        });
        let mut queue = client.queue();
        for number in 0..4 {
            queue.read(vec![0; 512], number * 512).unwrap();
        }
        let rejected = queue.read(vec![7; 512], 2048).unwrap_err();
        assert!(rejected.is_full(), "{rejected}");
        assert!(matches!(rejected.error, Error::Refused(Refused::QueueFull { limit: 4 })));
        assert_eq!(rejected.buffer, [7; 512]);
        queue.wait().unwrap().result.unwrap();
        queue.read(rejected.buffer, 2048).unwrap();
        let mut ended = 0;
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            ended += 1;
        }
        assert_eq!(ended, 4);
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn rejected_requests_give_their_buffers_back() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, crate::peer::Peer::expect_goodbye);
        let mut queue = client.queue();
        let beyond = queue.write(vec![1; 512], MIB).unwrap_err();
        assert!(!beyond.is_full());
        assert!(matches!(beyond.error, Error::Refused(Refused::OutOfBounds { .. })), "{beyond}");
        assert_eq!(beyond.buffer, [1; 512]);
        let short = queue.submit(Command::read(0, 1024), vec![2; 512]).unwrap_err();
        assert_eq!(short.buffer, [2; 512]);
        assert_eq!(queue.in_flight(), 0);
        assert!(queue.wait().is_none());
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn one_request_may_fail_among_others() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            let disk = pattern(1 << 20, 1);
            while let Some(request) = peer.request() {
                match (request.kind, request.offset) {
                    (READ, 512) => peer.reply(&request, 5, &[]),
                    (READ, _) => peer.reply(&request, 0, &disk[request.range()]),
                    _ => {}
                }
            }
        });
        let mut queue = client.queue();
        for number in 0..4 {
            queue.read(vec![0xee; 512], number * 512).unwrap();
        }
        let mut failed = 0;
        while let Some(completion) = queue.wait() {
            if completion.command.offset == 512 {
                let error = completion.result.unwrap_err();
                assert!(
                    matches!(&error, Error::Command(CommandError::Server(error)) if error.error == ErrorValue::EIO),
                    "{error}"
                );
                assert_eq!(completion.buffer.len(), 512);
                failed += 1;
            } else {
                completion.result.unwrap();
            }
        }
        assert_eq!(failed, 1);
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn the_end_of_the_connection_gives_all_buffers_back() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            // One is answered, and then the server is gone.
            let request = peer.expect(READ);
            peer.reply(&request, 0, &[1; 512]);
            for _ in 1..20 {
                peer.expect(READ);
            }
        });
        let mut queue = client.queue();
        let mut expected = HashSet::new();
        for number in 0..20u64 {
            expected.insert(queue.read(vec![0; 512], number * 512).unwrap());
        }
        let mut good = 0;
        while let Some(completion) = queue.wait() {
            assert!(expected.remove(&completion.ticket));
            assert_eq!(completion.buffer.len(), 512);
            match completion.result {
                Ok(()) => good += 1,
                failed => drop(connection_error(failed)),
            }
        }
        assert_eq!((good, expected.len()), (1, 0));
        let rejected = queue.read(vec![3; 512], 0).unwrap_err();
        assert_eq!(rejected.buffer, [3; 512]);
        connection_error(Err::<(), _>(rejected.error));
        server.join().unwrap();
    });
}

pub(crate) fn fill(queue: &mut Queue, requests: u64) {
    for number in 0..requests {
        queue.read(vec![0; 512], number * 512).unwrap();
    }
}

#[test]
fn a_dropped_queue_leaves_the_client_usable() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new().max_in_flight(8), MIB, ALL, |peer| {
            peer.serve(pattern(1 << 20, 1));
        });
        // Unsent ones, sent ones, and ones that have come back.
        for round in 0..30 {
            let mut queue = client.queue();
            fill(&mut queue, 8);
            if round % 3 > 0 {
                queue.send();
            }
            if round % 3 > 1 {
                queue.wait().unwrap().result.unwrap();
            }
            drop(queue);
            let mut data = vec![0; 512];
            client.read_at(&mut data, 512).unwrap();
            assert_same(&data, &pattern(1024, 1)[512..]);
        }
        client.shutdown().unwrap();
        server.join().unwrap();
    });
}

/// A dropped queue's number went to the next one, and with it what the server still had to say to the first.
#[test]
fn a_new_queue_gets_nothing_of_a_dropped_one() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| peer.serve(pattern(1 << 20, 1)));
        let mut old = client.queue();
        fill(&mut old, 4);
        old.send();
        drop(old);
        let mut new = client.queue();
        let ticket = new.read(vec![0; 1024], 0).unwrap();
        assert_eq!(new.in_flight(), 1);
        let completion = new.wait().unwrap();
        assert_eq!(completion.ticket, ticket);
        assert_same(&completion.buffer, &pattern(1024, 1));
        assert!(new.wait().is_none());
        drop((new, client));
        server.join().unwrap();
    });
}

#[test]
fn block_status_comes_with_its_contexts() {
    must_end(|| {
        let Some(server) = Nbdkit::disk(Disk::empty(MIB).data(0, [1; 4096])).start() else { return };
        let client: Client = ConnectOptions::new().meta_context("base:allocation").connect(&server.uri()).unwrap();
        let mut queue = client.queue();
        queue.submit(Command::block_status(0, MIB), Vec::new()).unwrap();
        let completion = queue.wait().unwrap();
        completion.result.unwrap();
        assert_eq!(completion.contexts.len(), 1);
        assert!(completion.contexts[0].extents.len() > 1);
        assert_eq!(
            refused(queue.submit(Command::trim(0, 0), Vec::new()).map_err(|rejected| rejected.error)),
            Refused::Empty { command: Command::trim(0, 0).command }
        );
    });
}
