//! Commands that fail, and replies in all shapes: the connection goes on.

use std::thread;

use nbd_testkit::{Nbdkit, pattern};

use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{Facts, Peer, READ, Request, newstyle};
use crate::support::{MIB, assert_same, connection_error, must_end, server_error};

#[test]
fn errors_keep_their_number_and_the_connection() {
    must_end(|| {
        for (name, value) in [
            ("EIO", ErrorValue::EIO),
            ("ENOSPC", ErrorValue::ENOSPC),
            ("EPERM", ErrorValue::EPERM),
            ("ENOMEM", ErrorValue::ENOMEM),
        ] {
            let server =
                Nbdkit::memory("1M").filter("error").arg(format!("error={name}")).arg("error-rate=100%").start();
            let Some(server) = server else { return };
            let client = Client::connect(&server.uri()).unwrap();
            for _ in 0..3 {
                assert_eq!(server_error(client.read_at(&mut [0; 512], 0)), value);
                assert_eq!(server_error(client.write_at(&vec![0; 100_000], 0)), value);
                assert_eq!(server_error(client.write_zeroes(0, 512)), value);
                assert_eq!(server_error(client.trim(0, 512)), value);
            }
            client.flush().unwrap();
            client.shutdown().unwrap();
        }
    });
}

/// A server that answers each read as `answer` says.
pub(crate) fn structured(answer: impl Fn(&mut Peer, &Request) + Send + 'static) -> (Client, thread::JoinHandle<()>) {
    let facts = Facts { size: 64 * MIB, flags: 1, structured: true, ..Facts::default() };
    newstyle(&ConnectOptions::new(), facts, move |peer| {
        while let Some(request) = peer.request().filter(|request| request.kind == READ) {
            answer(peer, &request);
        }
    })
}

pub(crate) fn at(offset: u64, data: &[u8]) -> Vec<u8> {
    [&offset.to_be_bytes(), data].concat()
}

/// Back to front; every second piece is a hole, more of them than are noted at once.
pub(crate) fn patchy(peer: &mut Peer, request: &Request) {
    let pieces: Vec<_> = (request.offset..request.offset + u64::from(request.length)).step_by(100).collect();
    for (number, offset) in pieces.iter().enumerate().rev() {
        let length = (request.offset + u64::from(request.length) - offset).min(100);
        if number % 2 == 0 {
            peer.chunk(request, number == 0, 1, &at(*offset, &pattern(length as usize, *offset)));
        } else {
            peer.chunk(request, number == 0, 2, &at(*offset, &(length as u32).to_be_bytes()));
        }
    }
}

pub(crate) fn read_patchy(client: &Client, offset: u64, length: usize) {
    let mut data = vec![0xee; length];
    client.read_at(&mut data, offset).unwrap();
    for (number, piece) in data.chunks(100).enumerate() {
        let offset = offset + number as u64 * 100;
        let expected = if number % 2 == 0 { pattern(piece.len(), offset) } else { vec![0; piece.len()] };
        assert_same(piece, &expected);
    }
}

#[test]
fn pieces_and_holes_in_any_order() {
    must_end(|| {
        let (client, server) = structured(patchy);
        read_patchy(&client, 0, 1);
        read_patchy(&client, 7, 100_001);
        let mut queue = client.queue();
        for number in 0..8 {
            queue.read(vec![0xee; 30_000], number * MIB).unwrap();
        }
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            let hole = &completion.buffer[100..200];
            assert!(hole.iter().all(|byte| *byte == 0));
            assert_same(&completion.buffer[..100], &pattern(100, completion.command.offset));
        }
        drop((queue, client));
        server.join().unwrap();
    });
}

#[test]
fn a_read_that_is_not_answered_in_full_fails_alone() {
    must_end(|| {
        let (client, server) = structured(|peer, request| {
            let length = request.length as usize - usize::from(request.length > 1000);
            peer.chunk(request, true, 1, &at(request.offset, &vec![1; length]));
        });
        let error = client.read_at(&mut [0; 2000], 0).unwrap_err();
        assert!(matches!(error, Error::Command(CommandError::Incomplete { covered: 1999, length: 2000 })), "{error}");
        client.read_at(&mut [0; 1000], 0).unwrap();
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn an_error_chunk_brings_the_servers_words() {
    must_end(|| {
        let (client, server) = structured(|peer, request| {
            peer.chunk(request, false, 1, &at(request.offset, &[1; 100]));
            peer.chunk(request, true, 0x8002, &[&[0, 0, 0, 5, 0, 3][..], b"bad", &150u64.to_be_bytes()].concat());
        });
        let error = client.read_at(&mut [0; 2000], 0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("bad") && text.contains("150"), "{text}");
        assert_eq!(server_error(Err::<(), _>(error)), ErrorValue::EIO);
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn a_server_that_breaks_the_protocol_is_left_at_once() {
    must_end(|| {
        let (client, server) = structured(answer_a_stranger);
        let mut queue = client.queue();
        for number in 0..8 {
            queue.read(vec![0; 512], number * 512).unwrap();
        }
        let mut ended = 0;
        while let Some(completion) = queue.wait() {
            let error = connection_error(completion.result);
            assert!(error.contains("broke the NBD protocol"), "{error}");
            ended += 1;
        }
        assert_eq!(ended, 8);
        // The server sees the end though the client is still there.
        server.join().unwrap();
        connection_error(client.read_at(&mut [0; 512], 0));
    });
}

/// Sends a reply to a request that was not made.
pub(crate) fn answer_a_stranger(peer: &mut Peer, request: &Request) {
    let stranger = Request { cookie: !request.cookie, ..request.clone() };
    peer.chunk(&stranger, true, 1, &at(0, &[1; 512]));
}
