//! CVE-2022-0485: the end of a read is taken for its success, and its buffer, with whatever is in it, for data.
//!
//! We promise: each call and each completion says whether it failed, also if part of its bytes or all of them had come; what
//! failed beside it does not touch a read that succeeded.

use nbd_testkit::pattern;

use crate::driver::Error;
use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::failures::{at, structured};
use crate::peer::{Peer, Request};
use crate::support::{assert_same, must_end, server_error};

const LENGTH: usize = 40_000;

/// Reads at odd places fail, each in its own way; others are answered.
fn answer(peer: &mut Peer, request: &Request) {
    let place = request.offset / LENGTH as u64;
    let data = pattern(LENGTH, place);
    let error = [&[0, 0, 0, 5, 0, 0][..], &request.offset.to_be_bytes()].concat();
    match place % 8 {
        // At once, after a half, after all of it, before all of it, and with less than all.
        1 => peer.chunk(request, true, 0x8001, &error[..6]),
        3 => {
            peer.chunk(request, false, 1, &at(request.offset, &data[..LENGTH / 2]));
            peer.chunk(request, true, 0x8001, &error[..6]);
        }
        5 => {
            peer.chunk(request, false, 1, &at(request.offset, &data));
            peer.chunk(request, true, 0x8001, &error[..6]);
        }
        7 => peer.chunk(request, true, 1, &at(request.offset, &data[1..])),
        _ => peer.chunk(request, true, 1, &at(request.offset, &data)),
    }
}

#[track_caller]
fn assert_failed(result: Result<(), Error>, place: u64) {
    match place % 8 {
        7 => {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Command(CommandError::Incomplete { covered: 39_999, .. })), "{error}");
        }
        _ => assert_eq!(server_error(result), ErrorValue::EIO),
    }
}

#[test]
fn a_call_that_failed_says_so() {
    must_end(|| {
        let (client, server) = structured(answer);
        for place in 0..16 {
            let mut buffer = vec![0xee; LENGTH];
            let result = client.read_at(&mut buffer, place * LENGTH as u64);
            if place % 2 == 0 {
                result.unwrap();
                assert_same(&buffer, &pattern(LENGTH, place));
            } else {
                assert_failed(result, place);
            }
        }
        drop(client);
        server.join().unwrap();
    });
}

#[test]
fn each_completion_tells_its_own_outcome() {
    must_end(|| {
        let (client, server) = structured(answer);
        let mut queue = client.queue();
        for place in 0..16 {
            queue.read(vec![0xee; LENGTH], place * LENGTH as u64).unwrap();
        }
        let (mut good, mut bad) = (0, 0);
        while let Some(completion) = queue.wait() {
            let place = completion.command.offset / LENGTH as u64;
            if place % 2 == 0 {
                completion.result.unwrap();
                assert_same(&completion.buffer, &pattern(LENGTH, place));
                good += 1;
            } else {
                assert_failed(completion.result, place);
                bad += 1;
            }
        }
        assert_eq!((good, bad), (8, 8));
        drop((queue, client));
        server.join().unwrap();
    });
}
