//! Extents are told as the specification wants them, whatever the caller knows (spec, `NBD_REPLY_TYPE_BLOCK_STATUS`).

use nbd_proto::error::Refused;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::chunks;
use crate::harness::each_way;
use crate::setup::{BASE, CHUNKED, Setup};

/// The cut of what 32 bits cannot say.
const MOST: u64 = 0xffff_0000;

fn one_context(style: ReplyStyle) -> Setup {
    Setup::new(style).with_contexts(&["base:allocation"])
}

/// What is told of these extents, of which the flags are their numbers.
#[track_caller]
fn told(setup: &Setup, flags: CommandFlags, offset: u64, length: u64, extents: &[u64], expected: &[(u64, u64)]) {
    let extents: Vec<_> =
        extents.iter().zip(0..).map(|(length, flags)| Descriptor { length: *length, flags }).collect();
    each_way(setup, |link| {
        link.ask_with(7, CommandType::BLOCK_STATUS, flags, offset, length);
        link.finish_status(0, &[(BASE, &extents)]).unwrap();
        let chunks = chunks(&link.send_all());
        assert_eq!((chunks.len(), chunks[0].last), (1, true));
        assert_eq!(chunks[0].extents(), (BASE, expected.to_vec()));
    });
}

const NONE: CommandFlags = CommandFlags::empty();
const ONE: CommandFlags = CommandFlags::REQ_ONE;

#[test]
fn the_last_may_go_further_than_the_request() {
    for setup in CHUNKED.map(one_context) {
        told(&setup, NONE, 512, 1024, &[1000, 5000], &[(1000, 0), (5000, 1)]);
        told(&setup, NONE, 512, 1024, &[1025], &[(1025, 0)]);
    }
}

// "the sum of the *length* fields of the first N-1 extents (if any) MUST be less than the requested length"
#[test]
fn none_begins_behind_the_request() {
    for setup in CHUNKED.map(one_context) {
        told(&setup, NONE, 512, 1024, &[1024, 512], &[(1024, 0)]);
        told(&setup, NONE, 512, 1024, &[1023, 512, 512], &[(1023, 0), (512, 1)]);
        told(&setup, NONE, 512, 1024, &[5000, 1], &[(5000, 0)]);
    }
}

#[test]
fn none_goes_past_the_end_of_the_export() {
    let size = 1 << 20;
    for setup in CHUNKED.map(one_context) {
        told(&setup, NONE, size - 512, 512, &[u64::MAX], &[(512, 0)]);
        told(&setup, NONE, size - 512, 512, &[100, 413], &[(100, 0), (412, 1)]);
        told(&setup, NONE, 0, 512, &[size + 1], &[(size, 0)]);
        told(&setup, NONE, 0, size, &[size - 1, u64::MAX, u64::MAX], &[(size - 1, 0), (1, 1)]);
    }
}

#[test]
fn the_caller_may_tell_less_than_was_asked() {
    for setup in CHUNKED.map(one_context) {
        told(&setup, NONE, 0, 4096, &[1, 2], &[(1, 0), (2, 1)]);
        told(&setup, ONE, 0, 4096, &[1, 2], &[(1, 0)]);
    }
}

// "exactly one descriptor, and that descriptor MUST NOT exceed the *length* of the original request"
#[test]
fn only_one_that_is_no_longer_than_the_request_if_one_is_wanted() {
    for setup in CHUNKED.map(one_context) {
        told(&setup, ONE, 512, 1024, &[1025, 1], &[(1024, 0)]);
        told(&setup, ONE, 512, 1024, &[1023, 1], &[(1023, 0)]);
        told(&setup, ONE, (1 << 20) - 1, 1, &[u64::MAX], &[(1, 0)]);
    }
}

#[test]
fn an_empty_one_ends_the_list() {
    for setup in CHUNKED.map(one_context) {
        told(&setup, NONE, 0, 4096, &[512, 0, 512], &[(512, 0)]);
    }
}

#[test]
fn what_32_bits_cannot_say_is_cut() {
    let setup = one_context(ReplyStyle::Structured).with_size(1 << 40);
    let most = u64::from(u32::MAX);
    told(&setup, NONE, 0, 512, &[1 << 34], &[(MOST, 0)]);
    told(&setup, NONE, 0, most, &[1 << 34], &[(MOST, 0), (MOST, 0)]);
    told(&setup, NONE, 0, most, &[MOST + 1, 5], &[(MOST, 0), (1, 0), (5, 1)]);
    told(&setup, NONE, 0, most, &[MOST, 5], &[(MOST, 0), (5, 1)]);
    told(&setup, ONE, 0, most, &[1 << 34], &[(MOST, 0)]);
}

#[test]
fn with_64_bits_nothing_is_cut() {
    let setup = one_context(ReplyStyle::Extended).with_size(u64::MAX);
    told(&setup, NONE, 0, 512, &[u64::MAX], &[(u64::MAX, 0)]);
    told(&setup, NONE, 5, u64::MAX - 5, &[1 << 40, u64::MAX], &[(1 << 40, 0), (u64::MAX - 5 - (1 << 40), 1)]);
    told(&setup, ONE, 0, 1 << 41, &[1 << 42], &[(1 << 41, 0)]);
}

#[test]
fn what_is_not_told_need_not_be_a_multiple() {
    for style in CHUNKED {
        let setup = one_context(style).with_sizes(512, 1 << 20);
        told(&setup, ONE, 512, 512, &[512, 100], &[(512, 0)]);
        told(&setup, ONE, 512, 512, &[1000], &[(512, 0)]);
        told(&setup, NONE, 512, 512, &[512, 100], &[(512, 0)]);
    }
}

// "The server MUST use descriptor lengths that are an integer multiple of any advertised minimum block size"
#[test]
fn each_is_a_multiple_of_the_minimum_block_size_or_reaches_the_end() {
    for style in CHUNKED {
        let setup = one_context(style).with_size((1 << 20) + 100).with_sizes(512, 1 << 20);
        each_way(&setup, |link| {
            link.ask(7, CommandType::BLOCK_STATUS, 1 << 19, 4096);
            for lengths in [&[100][..], &[512, 513], &[1024, 1, 511], &[4097]] {
                let extents: Vec<_> = lengths.iter().map(|length| Descriptor { length: *length, flags: 0 }).collect();
                let refused = link.finish_status(0, &[(BASE, &extents)]);
                assert!(matches!(refused, Err(Refused::Answer { .. })), "{lengths:?}: {refused:?}");
            }
            // What is behind the request is not told, and what is behind the disk is not there.
            for (number, lengths) in [&[4096, 1][..], &[512, (1 << 19) - 412], &[1 << 40]].into_iter().enumerate() {
                let extents: Vec<_> = lengths.iter().map(|length| Descriptor { length: *length, flags: 0 }).collect();
                link.finish_status(number, &[(BASE, &extents)]).unwrap();
                link.ask(7, CommandType::BLOCK_STATUS, 1 << 19, 4096);
            }
        });
    }
}
