//! Requests of every shape, and exports of every kind, over a loss.

use std::os::unix::fs::FileExt as _;

use nbd_driver_std::nbd_proto::transmission::Command;
use nbd_driver_std::nbd_proto::wire::flags::CommandFlags;
use nbd_driver_std::{Client, Oversize, Unaligned};
use nbd_testkit::{Bird, Phoenix, must_end};

use crate::acts::{Play, READ, WRITE};
use crate::killed::one_thread_with_a_queue;
use crate::patient::options;

fn allocated(client: &Client) -> Vec<(u64, u64, u64)> {
    let contexts = client.block_status_once(0, 1 << 20, CommandFlags::empty()).unwrap();
    contexts[0].extents.iter().map(|extent| (extent.offset, extent.length, extent.flags)).collect()
}

#[test]
fn over_tcp_kills_are_survived_as_well() {
    must_end(|| one_thread_with_a_queue(3, Bird::Tcp));
}

#[test]
fn extents_are_asked_for_on_the_connection_that_there_is() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 20, Bird::Nbdkit) else { return };
        server.file().write_all_at(&vec![1; 65_536], 65_536).unwrap();
        server.start();
        let client = options().meta_context("base:allocation").connect(&server.uri()).unwrap();
        let before = allocated(&client);
        assert_eq!(before.iter().map(|(_, length, _)| length).sum::<u64>(), 1 << 20);
        assert!(before.len() > 1, "{before:?}");
        for _ in 0..20 {
            // Some are on their way when the server is killed.
            let mut queue = client.queue();
            for _ in 0..4 {
                queue.submit(Command::block_status(0, 1 << 20), Vec::new()).unwrap();
            }
            queue.send();
            server.rise();
            while let Some(completion) = queue.wait() {
                completion.result.unwrap();
                let told = completion.contexts[0].extents.iter();
                let told: Vec<_> = told.map(|extent| (extent.offset, extent.length, extent.flags)).collect();
                assert_eq!(told, before);
            }
            let walked: u64 =
                client.block_status("base:allocation", 0..1 << 20).unwrap().map(|extent| extent.unwrap().length).sum();
            assert_eq!(walked, 1 << 20);
        }
    });
}

#[test]
fn requests_that_are_split_and_padded_are_made_again_in_parts() {
    must_end(|| {
        let Some(mut server) = Phoenix::new(1 << 20, Bird::Picky) else { return };
        server.start();
        let client = options().oversize(Oversize::Split).unaligned(Unaligned::Pad).connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().info.block_sizes.unwrap().minimum, 4096);
        let mut disk = vec![0; 1 << 20];
        for round in 0..10_u8 {
            let (at, length) = (usize::from(round) * 1001 + 7, 500_000 + usize::from(round));
            let data: Vec<u8> = (0..length).map(|place| (place / 100) as u8 ^ round).collect();
            let writer = client.clone();
            let (sent, offset) = (data.clone(), at as u64);
            let writer = std::thread::spawn(move || writer.write_at(&sent, offset));
            server.rise();
            writer.join().unwrap().unwrap();
            disk[at..at + length].copy_from_slice(&data);
            let reader = client.clone();
            let reader = std::thread::spawn(move || {
                let mut found = vec![0; (1 << 20) - 3];
                reader.read_at(&mut found, 1).map(|()| found)
            });
            server.rise();
            assert!(reader.join().unwrap().unwrap() == disk[1..(1 << 20) - 2], "round {round}");
        }
        client.shutdown().unwrap();
    });
}

#[test]
fn where_nothing_can_be_flushed_only_what_is_in_flight_is_sent_again() {
    must_end(|| {
        // Has flags, and no others.
        let play = Play::with_flags(1, |number, act| {
            if number < 2 {
                let write = act.expect(WRITE, 512);
                if number == 0 {
                    return true;
                }
                act.reply(&write, 0, 0);
            }
            let read = act.expect(READ, 0);
            if number == 1 {
                return true;
            }
            act.reply(&read, 0, 5);
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        client.write_at(&[1; 512], 512).unwrap();
        let mut found = [0; 512];
        client.read_at(&mut found, 0).unwrap();
        assert_eq!(found, [5; 512]);
        client.shutdown().unwrap();
        play.end();
    });
}

#[test]
fn what_can_only_be_read_is_read_on() {
    must_end(|| {
        // Has flags, read-only.
        let play = Play::with_flags(0b11, |number, act| {
            let read = act.expect(READ, 0);
            if number == 0 {
                return true;
            }
            act.reply(&read, 0, 5);
            act.goodbye();
            false
        });
        let client = options().connect(&play.uri()).unwrap();
        assert!(client.write_at(&[1; 512], 0).is_err());
        client.read_at(&mut [0; 512], 0).unwrap();
        assert!(client.write_at(&[1; 512], 0).is_err());
        client.shutdown().unwrap();
        play.end();
    });
}
