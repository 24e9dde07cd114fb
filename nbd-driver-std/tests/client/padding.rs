//! Requests that are not aligned to the server's blocks.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use nbd_testkit::{Disk, Nbdkit, Server, pattern};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::{Client, ConnectOptions, Error, Unaligned};
use crate::peer::{ALL, DISC, Facts, Peer, READ, WRITE, newstyle};
use crate::support::{KIB, MIB, assert_same, contents, must_end, refused};

const BLOCK: u64 = 4096;
const BLOCK_STATUS: u16 = 7;

/// A server that fails every request that is not made of whole blocks of 4096 bytes.
fn strict(disk: Disk) -> Option<Server> {
    Nbdkit::disk(disk)
        .filter("blocksize-policy")
        .arg("blocksize-minimum=4096")
        .arg("blocksize-maximum=64K")
        .arg("blocksize-error-policy=error")
        .start()
}

fn padding() -> ConnectOptions {
    ConnectOptions::new().unaligned(Unaligned::Pad).meta_context("base:allocation")
}

#[test]
fn unaligned_requests_are_refused_by_default() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = ConnectOptions::new().meta_context("base:allocation").connect(&server.uri()).unwrap();
        let unaligned = |result: Result<(), Error>| {
            let refused = refused(result);
            assert!(matches!(refused, Refused::Unaligned { minimum: 4096, .. }), "{refused:?}");
        };
        unaligned(client.read_at(&mut [0; 512], 0));
        unaligned(client.read_at(&mut [0; 4096], 512));
        unaligned(client.write_at(&[0; 4097], 0));
        unaligned(client.write_zeroes(1, BLOCK));
        unaligned(client.trim(BLOCK, 1));
        unaligned(client.cache(0, 100));
        unaligned(client.block_status("base:allocation", 5..BLOCK).unwrap().next().unwrap().map(drop));
        client.read_at(&mut [0; 4096], BLOCK).unwrap();
        assert_same(&contents(&server), &disk.contents());
    });
}

#[test]
fn padded_requests_do_what_was_asked_and_no_more() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = padding().connect(&server.uri()).unwrap();
        let mut model = disk.contents();
        let mut ranges = vec![
            (0, 1),
            (4095, 1),
            (4095, 2),
            (1, 4094),
            (0, 4097),
            (4095, 4098),
            (5, 3 * BLOCK),
            (BLOCK, BLOCK),
            (MIB - 1, 1),
            (MIB - BLOCK - 1, BLOCK + 1),
            (0, MIB),
            // Longer than one request.
            (3, 200 * KIB),
            (60 * KIB + 1, 64 * KIB),
        ];
        let mut random = Rng::with_seed(1);
        for _ in 0..60 {
            let offset = random.u64(..MIB);
            ranges.push((offset, random.u64(..(MIB - offset).min(20_000)) + 1));
        }
        for (number, (offset, length)) in ranges.into_iter().enumerate() {
            let length = length.min(MIB - offset);
            let range = offset as usize..(offset + length) as usize;
            let mut data = vec![0xee; range.len()];
            client.read_at(&mut data, offset).unwrap();
            assert_same(&data, &model[range.clone()]);
            if number % 4 == 3 {
                client.write_zeroes(offset, length).unwrap();
                model[range].fill(0);
            } else {
                let data = pattern(range.len(), number as u64);
                client.write_at(&data, offset).unwrap();
                model[range].copy_from_slice(&data);
            }
            client.cache(offset, length).unwrap();
            let extents = client.block_status("base:allocation", offset..offset + length).unwrap();
            assert_eq!(extents.map(|extent| extent.unwrap().length).sum::<u64>(), length);
        }
        client.flush().unwrap();
        assert_same(&contents(&server), &model);

        // Only the whole blocks within are given up.
        client.trim(1, 10_000).unwrap();
        client.trim(5, 100).unwrap();
        let after = contents(&server);
        assert_same(&after[..4096], &model[..4096]);
        assert_same(&after[8192..], &model[8192..]);
    });
}

#[test]
fn threads_that_write_into_the_same_blocks_lose_nothing() {
    must_end(|| {
        const SLICE: usize = 1000;
        let disk = Disk::patterned(16 * SLICE + 384, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = padding().connect(&server.uri()).unwrap();
        for round in 0..5 {
            thread::scope(|scope| {
                for number in 0..16 {
                    let client = &client;
                    scope.spawn(move || {
                        client.write_at(&pattern(SLICE, number + round), number * SLICE as u64).unwrap();
                    });
                }
            });
            let mut expected: Vec<_> = (0..16).flat_map(|number| pattern(SLICE, number + round)).collect();
            expected.extend(&disk.contents()[16 * SLICE..]);
            assert_same(&contents(&server), &expected);
        }
    });
}

/// The first write covers the second one's block as a whole: it was done between the second one's reading and
/// writing back, and lost.
#[test]
fn the_middle_of_one_write_is_safe_from_the_edge_of_another() {
    must_end(|| {
        let (reached, middle_reached) = mpsc::channel();
        let facts =
            Facts { size: 16 * BLOCK, flags: ALL, block_sizes: Some([4096, 4096, 1 << 20]), ..Facts::default() };
        let (client, server) = newstyle(&padding(), facts, move |peer| {
            let mut disk = vec![0; 16 << 12];
            while let Some(request) = peer.request().filter(|request| request.kind != DISC) {
                if request.kind == WRITE && request.length > 4096 {
                    // A chance for the other write to read its block before this is done.
                    reached.send(()).unwrap();
                    if peer.comes_within(Duration::from_millis(200)) {
                        let other = peer.expect(READ);
                        peer.perform(&other, &mut disk);
                    }
                }
                peer.perform(&request, &mut disk);
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| client.write_at(&vec![1; 3 * 4096], 100).unwrap());
            middle_reached.recv().unwrap();
            client.write_at(&[1; 10], BLOCK + 50).unwrap();
        });
        let mut data = vec![0; 3 * 4096];
        client.read_at(&mut data, 100).unwrap();
        assert_same(&data, &vec![1; 3 * 4096]);
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn nothing_is_changed_by_what_would_be_refused_half_way() {
    must_end(|| {
        let facts = Facts {
            size: 10 * BLOCK,
            flags: ALL & !(1 << 6),
            block_sizes: Some([4096, 4096, 1 << 20]),
            ..Facts::default()
        };
        let (client, server) = newstyle(&padding(), facts, Peer::expect_goodbye);
        let past = |result: Result<(), Error>| {
            let refused = refused(result);
            assert!(matches!(refused, Refused::OutOfBounds { .. }), "{refused:?}");
        };
        past(client.write_at(&vec![1; 10 * 4096], 1));
        past(client.write_zeroes(1, 10 * BLOCK));
        past(client.trim(10 * BLOCK + 1, 1));
        past(client.read_at(&mut [1; 2], 10 * BLOCK - 1));
        // The edges could be written, but zeroes in the middle are not offered.
        assert!(matches!(refused(client.write_zeroes(1, 3 * BLOCK)), Refused::NotOffered { .. }));
        drop(client);
        server.join().unwrap();
    });
}

/// "the client would be unable to access the final few bytes of the export" (spec, *Size constraints*).
#[test]
fn an_end_that_is_no_whole_block_is_out_of_reach() {
    must_end(|| {
        let disk = Disk::patterned(10_000, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = padding().connect(&server.uri()).unwrap();
        // Newer servers may cut the size themselves.
        if client.size() != 10_000 {
            return;
        }
        let mut data = vec![0; 8191];
        client.read_at(&mut data, 1).unwrap();
        assert_same(&data, &disk.contents()[1..8192]);
        client.write_at(&[9; 3], 8189).unwrap();
        for attempt in [client.read_at(&mut [0; 2], 8191), client.write_at(&[0; 2], 8191), client.write_zeroes(8191, 2)]
        {
            let refused = refused(attempt);
            assert!(matches!(refused, Refused::OutOfBounds { size: 10_000, .. }), "{refused:?}");
        }
        // A walk tells what it can before it fails.
        let mut reached = 0;
        for extent in client.block_status("base:allocation", 0..10_000).unwrap() {
            match extent {
                Ok(extent) => reached += extent.length,
                failed => drop(refused(failed)),
            }
        }
        // Servers may tell more than they were asked for.
        assert!(reached == 8192 || reached == 10_000, "{reached}");
        assert_eq!(contents(&server).len(), 10_000);
    });
}

/// Asked for a block, the server tells of its beginning only; the walk wanted to know of its end, and asked for ever.
#[test]
fn a_walk_that_does_not_get_on_ends() {
    must_end(|| {
        let facts = Facts {
            size: MIB,
            flags: 1,
            block_sizes: Some([4096, 4096, 1 << 20]),
            structured: true,
            contexts: &["base:allocation"],
        };
        let (client, server): (Client, _) = newstyle(&padding(), facts, |peer| {
            while let Some(request) = peer.request().filter(|request| request.kind != DISC) {
                assert_eq!((request.kind, request.offset), (BLOCK_STATUS, 0));
                let descriptor = [0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0];
                peer.chunk(&request, true, 5, &descriptor);
            }
        });
        let mut walk = client.block_status("base:allocation", 1000..4096).unwrap();
        let error = walk.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("block status"), "{error}");
        assert!(walk.next().is_none());
        let first = client.block_status("base:allocation", 0..4096).unwrap().next().unwrap().unwrap();
        assert_eq!((first.offset, first.length), (0, 512));
        drop(walk);
        drop(client);
        server.join().unwrap();
    });
}

/// A server that ends an extent within a block is asked again from the start of that block, padding or not.
#[test]
fn a_walk_goes_on_where_the_server_ended_within_a_block() {
    for options in [ConnectOptions::new().meta_context("base:allocation"), padding()] {
        must_end(move || {
            let facts = Facts {
                size: MIB,
                flags: 1,
                block_sizes: Some([4096, 4096, 1 << 20]),
                structured: true,
                contexts: &["base:allocation"],
            };
            let (client, server): (Client, _) = newstyle(&options, facts, |peer| {
                let mut asked = Vec::new();
                while let Some(request) = peer.request().filter(|request| request.kind != DISC) {
                    let length: u32 = if request.offset == 0 { 4608 } else { 4096 };
                    let mut descriptor = vec![0, 0, 0, 1];
                    descriptor.extend(length.to_be_bytes());
                    descriptor.extend((request.offset as u32 / 4096).to_be_bytes());
                    peer.chunk(&request, true, 5, &descriptor);
                    asked.push(request.offset);
                }
                assert_eq!(asked, [0, 4096]);
            });
            let walk = client.block_status("base:allocation", 0..8192).unwrap();
            let extents: Vec<_> = walk.map(|extent| extent.map(|e| (e.offset, e.length, e.flags)).unwrap()).collect();
            assert_eq!(extents, [(0, 4608, 0), (4608, 3584, 1)]);
            drop(client);
            server.join().unwrap();
        });
    }
}

/// Padding to a block that the server made absurdly large would take as much memory.
#[test]
fn blocks_too_large_to_hold_are_not_padded_to() {
    must_end(|| {
        let facts = Facts {
            size: 1 << 40,
            flags: 1,
            block_sizes: Some([1 << 31, 1 << 31, u32::MAX]),
            structured: true,
            contexts: &[],
        };
        let (client, server): (Client, _) =
            newstyle(&padding(), facts, |peer| assert_eq!(peer.request().map(|request| request.kind), Some(DISC)));
        let refused = refused(client.read_at(&mut [0; 512], 0));
        assert!(matches!(refused, Refused::Unaligned { minimum: 0x8000_0000, .. }), "{refused:?}");
        drop(client);
        server.join().unwrap();
    });
}
