//! Requests longer than a server takes at once.

use nbd_testkit::{Disk, Nbdkit, QemuNbd, Server, pattern};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::nbd_proto::wire::flags::CommandFlags;
use crate::driver::nbd_proto::wire::number::CommandType;
use crate::driver::{Client, ConnectOptions, Error, Oversize, Unaligned};
use crate::peer::{ALL, DISC, Facts, Peer, READ, WRITE, newstyle, oldstyle};
use crate::support::{KIB, MIB, assert_same, contents, must_end, refused, server_error};

const MAXIMUM: u64 = 64 * KIB;

/// Bytes that differ from place to place, made much faster than a pattern of the kit.
fn stripes(length: usize) -> Vec<u8> {
    let stripe: Vec<u8> = (0..=250).collect();
    let mut stripes = stripe.repeat(length / stripe.len() + 1);
    stripes.truncate(length);
    stripes
}

/// A server that fails what is longer than 64 KiB, and says so beforehand.
fn strict(disk: Disk) -> Option<Server> {
    Nbdkit::disk(disk)
        .filter("blocksize-policy")
        .arg("blocksize-minimum=512")
        .arg("blocksize-maximum=64K")
        .arg("blocksize-error-policy=error")
        .start()
}

#[test]
fn long_requests_are_sent_in_pieces() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = Client::connect(&server.uri()).unwrap();
        assert_eq!(u64::from(client.negotiated().maximum_payload()), MAXIMUM);
        let mut model = disk.contents();
        let mut data = vec![0; 1 << 20];
        client.read_at(&mut data, 0).unwrap();
        assert_same(&data, &model);
        // Just one piece, one byte more than that (in blocks), and an odd number of them.
        for (offset, length) in [(0, MAXIMUM), (512, MAXIMUM + 512), (1024, 3 * MAXIMUM + 1536)] {
            let data = pattern(length as usize, offset);
            client.write_at_with(&data, offset, CommandFlags::FUA).unwrap();
            model[offset as usize..][..data.len()].copy_from_slice(&data);
        }
        client.write_zeroes(512 * KIB, 300 * KIB).unwrap();
        model[512 << 10..812 << 10].fill(0);
        client.cache(0, MIB).unwrap();
        client.read_at(&mut data, 0).unwrap();
        assert_same(&data, &model);
        client.flush().unwrap();
        assert_same(&contents(&server), &model);
        client.trim(0, MIB).unwrap();
    });
}

#[test]
fn long_requests_are_refused_on_demand() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 1);
        let Some(server) = strict(disk.clone()) else { return };
        let client = ConnectOptions::new().oversize(Oversize::Refuse).connect(&server.uri()).unwrap();
        let too_long = Refused::TooLong { length: MAXIMUM + 512, maximum: MAXIMUM };
        let mut data = vec![0; MAXIMUM as usize + 512];
        assert_eq!(refused(client.read_at(&mut data, 0)), too_long);
        assert_eq!(refused(client.write_at(&data, 0)), too_long);
        client.read_at(&mut data[512..], 0).unwrap();
        assert_same(&contents(&server), &disk.contents());
    });
}

#[test]
fn a_long_read_of_a_real_server_without_a_limit() {
    must_end(|| {
        // It says that it has no limit, but takes no more than 64 MiB.
        let server = Nbdkit::memory("80M")
            .filter("blocksize-policy")
            .arg("blocksize-minimum=1")
            .arg("blocksize-preferred=4096")
            .arg("blocksize-maximum=4294967295")
            .start();
        let Some(server) = server else { return };
        let client = Client::connect(&server.uri()).unwrap();
        assert_eq!(client.negotiated().maximum_payload(), u32::MAX);
        let data = stripes(70 << 20);
        client.write_at(&data, 12_345).unwrap();
        let mut back = vec![0; data.len()];
        client.read_at(&mut back, 12_345).unwrap();
        assert_same(&back, &data);
    });
}

/// Those requests that a peer is sent, until the goodbye.
fn record(options: &ConnectOptions, size: u64, run: impl FnOnce(&Client)) -> Vec<(u16, u64, u32)> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (client, server) = oldstyle(options, size, ALL, move |peer: &mut Peer| {
        while let Some(request) = peer.request().filter(|request| request.kind != DISC) {
            sender.send((request.kind, request.offset, request.length)).unwrap();
            let data = if request.kind == READ { vec![0; request.length as usize] } else { Vec::new() };
            peer.reply(&request, 0, &data);
        }
    });
    run(&client);
    drop(client);
    server.join().unwrap();
    receiver.iter().collect()
}

#[test]
fn pieces_are_as_large_as_they_may_be() {
    must_end(|| {
        let max = 32 * MIB;
        let sent = record(&ConnectOptions::new(), 1 << 40, |client| {
            client.read_at(&mut vec![0; 2 * (32 << 20) + 5], 3).unwrap();
            client.write_zeroes(0, 5 << 30).unwrap();
        });
        let mut expected = vec![(READ, 3, max as u32), (READ, 3 + max, max as u32), (READ, 3 + 2 * max, 5)];
        expected.extend((0..5).map(|gib| (6, gib << 30, 1 << 30)));
        assert_eq!(sent, expected);
    });
}

#[test]
fn calls_about_nothing_send_nothing() {
    must_end(|| {
        for unaligned in [Unaligned::Refuse, Unaligned::Pad] {
            let facts = Facts { size: MIB, flags: ALL, block_sizes: Some([4096, 4096, 1 << 20]), ..Facts::default() };
            let (client, server) = newstyle(&ConnectOptions::new().unaligned(unaligned), facts, Peer::expect_goodbye);
            for offset in [0, 5, MIB, MIB + 1, u64::MAX] {
                client.read_at(&mut [], offset).unwrap();
                client.write_at(&[], offset).unwrap();
                client.trim(offset, 0).unwrap();
                client.cache(offset, 0).unwrap();
                client.write_zeroes(offset, 0).unwrap();
            }
            drop(client);
            server.join().unwrap();
        }
    });
}

#[test]
fn nothing_is_sent_of_what_goes_past_the_end() {
    must_end(|| {
        let sent = record(&ConnectOptions::new(), 64 * MIB, |client| {
            let long = &mut vec![1; 80 << 20][..];
            let mut attempts = vec![
                client.read_at(long, 0),
                client.write_at(long, 0),
                client.write_zeroes(0, 3 << 30),
                client.trim(0, u64::MAX),
                client.cache(64 * MIB, 1),
                client.write_at(&[0; 2], 64 * MIB - 1),
                client.read_at(&mut [0; 2], u64::MAX),
            ];
            attempts.push(client.write_zeroes(u64::MAX, u64::MAX));
            for attempt in attempts {
                let refused = refused(attempt);
                assert!(matches!(refused, Refused::OutOfBounds { size, .. } if size == 64 * MIB), "{refused:?}");
            }
        });
        assert_eq!(sent, []);
    });
}

#[test]
fn nothing_is_sent_of_what_ends_unaligned() {
    must_end(|| {
        let facts = Facts { size: MIB, flags: ALL, block_sizes: Some([512, 512, 4096]), ..Facts::default() };
        let (client, server) = newstyle(&ConnectOptions::new(), facts, Peer::expect_goodbye);
        let unaligned = |result: Result<(), Error>| {
            let refused = refused(result);
            assert!(matches!(refused, Refused::Unaligned { minimum: 512, .. }), "{refused:?}");
        };
        unaligned(client.write_at(&[1; 10_000], 0));
        unaligned(client.read_at(&mut [1; 10_000], 0));
        unaligned(client.read_at(&mut [1; 512], 1));
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn a_piece_that_fails_ends_the_call() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), 1 << 40, ALL, |peer| {
            for (offset, error) in [(0, 0), (32 * MIB, 28)] {
                let request = peer.expect(WRITE);
                assert_eq!(request.offset, offset);
                peer.reply(&request, error, &[]);
            }
            peer.expect_goodbye();
        });
        let error = server_error(client.write_at(&vec![1; 96 << 20], 0));
        assert_eq!(error.0, 28);
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn qemu_takes_what_we_send() {
    must_end(|| {
        let Some(server) = QemuNbd::new(Disk::empty(80 * MIB)).start() else { return };
        let client = Client::connect(&server.uri()).unwrap();
        let data = stripes(70 << 20);
        client.write_at(&data, 4 * MIB).unwrap();
        let mut back = vec![0; data.len()];
        client.read_at(&mut back, 4 * MIB).unwrap();
        assert_same(&back, &data);
        client.write_zeroes(0, 80 * MIB).unwrap();
        client.read_at(&mut back, 4 * MIB).unwrap();
        assert_same(&back, &vec![0; data.len()]);
    });
}

#[test]
fn the_command_that_is_not_offered_is_named() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), 5 << 30, 1, Peer::expect_goodbye);
        assert_eq!(refused(client.trim(0, 3 << 30)), Refused::NotOffered { command: CommandType::TRIM });
        assert_eq!(refused(client.flush()), Refused::NotOffered { command: CommandType::FLUSH });
        drop(client);
        server.join().unwrap();
    });
}
