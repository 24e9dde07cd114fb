//! Payload forms of `BLOCK_STATUS` that make no sense: "the server MUST gracefully consume the client's payload before
//! failing with `NBD_EINVAL`".

use nbd_proto::error::{Error, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::number::CommandType;

use crate::client::{filtered_status, raw_request};
use crate::harness::{Link, each_way};
use crate::setup::{BASE, OTHER, Setup};

/// Sends it, and a request that is known to be understood behind it.
fn refused(setup: &Setup, bytes: &[u8]) {
    each_way(setup, |link: &mut Link| {
        link.feed(&[bytes, &raw_request(true, 8, 77, 0, 0, 0)].concat());
        assert_eq!(link.answers(), [(7, 22), (8, 22)]);
        assert_eq!((link.requests.len(), link.pending.len(), link.server.in_flight()), (0, 0, 0));
        link.feed(&filtered_status(9, 0, 0, 512, &[BASE]));
        assert_eq!(link.requests.len(), 1);
    });
}

fn all() -> Setup {
    Setup::new(ReplyStyle::Extended)
}

#[test]
fn contexts_that_were_not_selected() {
    for context in [0, 2, 4, u32::MAX] {
        refused(&all(), &filtered_status(7, 0, 0, 512, &[context]));
        refused(&all(), &filtered_status(7, 0, 0, 512, &[BASE, context]));
        refused(&all(), &filtered_status(7, 0, 0, 512, &[context, BASE]));
    }
}

#[test]
fn a_context_twice() {
    refused(&all(), &filtered_status(7, 0, 0, 512, &[BASE, BASE]));
    refused(&all(), &filtered_status(7, 0, 0, 512, &[BASE, OTHER, BASE]));
}

#[test]
fn no_contexts() {
    refused(&all(), &filtered_status(7, 0, 0, 512, &[]));
}

#[test]
fn a_length_that_is_not_8_and_a_multiple_of_4() {
    for length in [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14, 15] {
        let payload = [&512u64.to_be_bytes()[..], &BASE.to_be_bytes(), &OTHER.to_be_bytes()].concat();
        let header = raw_request(true, 7, 7, 1 << 5, 0, length);
        refused(&all(), &[&header, &payload[..length as usize]].concat());
    }
}

#[test]
fn more_contexts_than_there_are() {
    // As many as there are, and one byte, one context, many more.
    let header = |length| raw_request(true, 7, 7, 1 << 5, 0, length);
    for length in [17, 20, 4096, 70_000] {
        refused(&all(), &[header(length), vec![0; length as usize]].concat());
    }
}

// A driver's buffer need not hold it whole.
#[test]
fn a_list_that_cannot_be_right_is_skipped_as_it_comes() {
    each_way(&all(), |link| {
        link.feed(&raw_request(true, 7, 7, 1 << 5, 0, 1000));
        for _ in 0..1000 {
            assert!(link.pending.is_empty() && !link.server.wants_write());
            link.feed(&[0]);
        }
        assert_eq!(link.answers(), [(7, 22)]);
    });
}

#[test]
fn an_effect_length_past_the_end_of_the_export() {
    for (offset, length) in [(0, (1 << 20) + 1), (1 << 20, 1), (1, 1 << 20), (512, u64::MAX), (u64::MAX, 1), (0, 0)] {
        refused(&all(), &filtered_status(7, 0, offset, length, &[BASE]));
    }
}

#[test]
fn an_unaligned_effect_length() {
    let setup = all().with_sizes(16, 4096);
    each_way(&setup, |link| {
        link.feed(&filtered_status(7, 0, 0, 24, &[BASE]));
        link.feed(&filtered_status(8, 0, 8, 32, &[BASE]));
        assert_eq!(link.answers(), [(7, 22), (8, 22)]);
        // The length of the payload, 12 bytes, is no range.
        link.feed(&filtered_status(9, 0, 16, 32, &[BASE]));
        assert_eq!(link.requests.len(), 1);
    });
}

#[test]
fn any_when_there_are_no_contexts() {
    each_way(&all().with_contexts(&[]), |link| {
        link.feed(&filtered_status(7, 0, 0, 512, &[BASE]));
        link.feed(&raw_request(true, 8, 77, 0, 0, 0));
        assert_eq!(link.answers(), [(7, 22), (8, 22)]);
    });
}

#[test]
fn too_long_to_be_skipped() {
    each_way(&all(), |link| {
        link.feed(&raw_request(true, 7, 7, 1 << 5, 0, (64 << 20) + 1));
        let (command, length, limit) = (CommandType::BLOCK_STATUS, (64 << 20) + 1, 64 << 20);
        assert_eq!(link.error, Some(Error::from(PeerMisbehaved::PayloadTooLong { command, length, limit })));
    });
}
