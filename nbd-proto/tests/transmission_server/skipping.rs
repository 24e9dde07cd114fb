//! Payload of writes that are refused is skipped, and the answer comes behind it: clients are known that take no answer
//! to what they are still sending.

use nbd_proto::error::{Error, PeerMisbehaved};
use nbd_proto::transmission::ServerSettings;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::request;
use crate::harness::{each_style, each_way};
use crate::setup::{STYLES, Setup};

const WRITE: CommandType = CommandType::WRITE;
const ENOSPC: u32 = 28;
const BEHIND: u64 = 1 << 20;

#[test]
fn the_answer_comes_behind_the_last_byte_and_not_before() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), BEHIND, 40));
        for _ in 0..40 {
            assert!(link.server.wants_read() && !link.server.wants_write());
            assert_eq!((link.server.landing(), link.server.in_flight()), (None, 1));
            link.feed(b"x");
        }
        assert_eq!((link.answers(), link.seen()), (vec![(7, ENOSPC)], vec![]));
        assert_eq!(link.server.in_flight(), 0);
    });
}

#[test]
fn payload_that_looks_like_requests_is_none() {
    each_style(|link| {
        let inner = request(link.style, 666, CommandType::FLUSH, CommandFlags::empty(), 0, 0);
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), BEHIND, inner.len() as u64));
        link.feed(&inner);
        assert_eq!((link.requests.len(), link.answers()), (0, vec![(7, ENOSPC)]));
    });
}

#[test]
fn what_follows_is_understood() {
    each_style(|link| {
        link.ask(7, WRITE, BEHIND, 50);
        link.ask(8, WRITE, BEHIND, 1);
        link.ask(9, WRITE, 0, 2);
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(7, ENOSPC), (8, ENOSPC), (9, 0)]);
    });
}

#[test]
fn as_much_as_the_limit_is_skipped_and_not_a_byte_more() {
    let settings = ServerSettings::default().with_max_skipped(100);
    for setup in STYLES.map(|style| Setup::new(style).with_settings(settings)) {
        each_way(&setup, |link| {
            link.ask(7, WRITE, BEHIND, 100);
            assert_eq!(link.answers(), [(7, ENOSPC)]);
            link.feed(&request(link.style, 8, WRITE, CommandFlags::empty(), BEHIND, 101));
            let expected = PeerMisbehaved::PayloadTooLong { command: WRITE, length: 101, limit: 100 };
            assert_eq!(link.error, Some(Error::from(expected)));
        });
    }
}

/// Whoever is told of a maximum payload may send that much, and gets an answer.
#[test]
fn a_payload_that_the_offer_allows_is_always_skipped() {
    let settings = ServerSettings::default().with_max_skipped(100);
    for setup in STYLES.map(|style| Setup::new(style).with_sizes(1, 600).with_settings(settings)) {
        each_way(&setup, |link| {
            link.ask(7, WRITE, BEHIND, 600);
            assert_eq!(link.answers(), [(7, ENOSPC)]);
            link.feed(&request(link.style, 8, WRITE, CommandFlags::empty(), 0, 601));
            let expected = PeerMisbehaved::PayloadTooLong { command: WRITE, length: 601, limit: 600 };
            assert_eq!(link.error, Some(Error::from(expected)));
        });
    }
}

#[test]
fn a_write_that_can_be_carried_out_may_be_longer_than_what_is_skipped() {
    let settings = ServerSettings::default().with_max_skipped(0);
    for setup in STYLES.map(|style| Setup::new(style).with_settings(settings)) {
        each_way(&setup, |link| {
            link.ask(7, WRITE, 0, 100);
            link.finish(0).unwrap();
            assert_eq!(link.answers(), [(7, 0)]);
        });
    }
}

#[test]
fn a_length_that_belongs_to_no_payload_is_not_skipped() {
    let settings = ServerSettings::default().with_max_skipped(0);
    for setup in STYLES.map(|style| Setup::new(style).with_settings(settings)) {
        each_way(&setup, |link| {
            link.ask(7, CommandType::TRIM, BEHIND, 1000);
            link.ask(8, CommandType(77), 0, 1000);
            assert_eq!(link.answers(), [(7, 22), (8, 22)]);
        });
    }
}

#[test]
fn the_largest_length_there_is_does_no_harm() {
    for setup in STYLES.map(Setup::new) {
        let length =
            if setup.style == nbd_proto::handshake::ReplyStyle::Extended { u64::MAX } else { u64::from(u32::MAX) };
        each_way(&setup, |link| {
            link.feed(&request(link.style, 8, WRITE, CommandFlags::empty(), 0, length));
            let expected = PeerMisbehaved::PayloadTooLong { command: WRITE, length, limit: 64 << 20 };
            assert_eq!(link.error, Some(Error::from(expected)));
        });
    }
}
