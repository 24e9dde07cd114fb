//! Each accepted command ends in exactly one `Done`, when its buffer is free; and there is room for only so many.

use std::collections::BTreeSet;

use nbd_proto::error::{CommandError, Refused};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Segment};
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::number::{Cookie, ErrorValue};

use crate::harness::{CHUNKED, Link, STYLES, Seen, Setup, link, patterns};
use crate::server::{LAST, MORE, OK, data, failed, simple};

fn reply(link: &Link, cookie: Cookie, error: ErrorValue) -> Vec<u8> {
    match (link.style, error) {
        (ReplyStyle::Simple, error) => simple(cookie, error),
        (_, OK) => link.chunk(cookie, LAST, &Chunk::None),
        (_, error) => link.chunk(cookie, LAST, &failed(error, b"early")),
    }
}

#[test]
fn no_done_before_the_last_byte_was_sent() {
    let command = Command::write(0, 100);
    for style in STYLES {
        for error in [OK, ErrorValue::ENOSPC] {
            let total = if style == ReplyStyle::Extended { 132 } else { 128 };
            for early in 0..=total {
                let mut link = link(style);
                let cookie = link.queue(command);
                link.send(early);
                link.feed(&reply(&link, cookie, error));
                let ended = |events: &[Seen]| events.iter().any(|event| matches!(event, Seen::Done(..)));
                for sent in early..total {
                    assert!(!ended(&link.events) && link.client.in_flight() == 1, "done with {sent} of {total} sent");
                    // The rest of the payload is still asked for.
                    assert!(link.client.wants_write());
                    link.send(1);
                }
                assert!(ended(&link.events) && link.client.in_flight() == 0);
            }
        }
    }
}

#[test]
fn the_slot_of_an_answered_command_that_is_half_sent_is_not_used_again() {
    let mut link = link(ReplyStyle::Simple);
    let first = link.queue(Command::write(0, 100));
    link.send(50);
    link.feed(&simple(first, OK));
    let second = link.queue(Command::write(100, 100));
    assert_ne!(first.0 as u32, second.0 as u32);
    let segments: Vec<_> = link.client.outbound().collect();
    assert_eq!(segments[0], Segment::Payload { owner: first, range: 22..100 });
    link.send(usize::MAX);
    assert_eq!(link.seen(), [Seen::Done(first, Ok(()))]);
    link.feed(&simple(second, OK));
    assert_eq!(link.seen(), [Seen::Done(second, Ok(()))]);
}

#[test]
fn data_may_come_before_the_read_was_sent_whole() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.queue(Command::read(0, 64));
        link.send(5);
        link.receive(&link.chunk(cookie, LAST, &data(0, &patterns(0..64))));
        assert_eq!(link.seen(), [Seen::Data(cookie, 0..64)]);
        link.send(usize::MAX);
        assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
        assert_eq!(link.buffers[&cookie], patterns(0..64));
    }
}

#[test]
fn a_half_sent_command_that_was_answered_ends_once_with_the_connection() {
    for style in STYLES {
        let mut link = link(style);
        let (good, bad) = (link.queue(Command::write(0, 100)), link.queue(Command::write(0, 100)));
        link.send(20);
        link.feed(&[reply(&link, good, OK), reply(&link, bad, ErrorValue::EIO)].concat());
        link.seen();
        link.client.give_up("enough");
        link.poll();
        let error = link.assert_over();
        let mut events = link.seen();
        events.sort_by_key(|event| if let Seen::Done(cookie, _) = event { *cookie } else { Cookie(0) });
        // Success that the server claimed for what it did not see whole is none; its failure stays one.
        assert_eq!(events[0], Seen::Done(good, Err(CommandError::Connection(error))));
        assert!(matches!(&events[1], Seen::Done(_, Err(CommandError::Server(_)))), "{events:?}");
    }
}

#[test]
fn only_so_many_are_in_flight() {
    for limit in [1, 2, 7] {
        for style in STYLES {
            let mut setup = Setup::new(style);
            setup.settings = setup.settings.with_max_in_flight(limit);
            let mut link = setup.link();
            let mut cookies = Vec::new();
            for taken in 0..limit {
                assert_eq!((link.client.room(), link.client.in_flight()), (limit - taken, taken));
                cookies.push(link.queue(Command::flush()));
            }
            for _ in 0..3 {
                let before = link.outbound();
                assert_eq!(link.client.submit(Command::flush()), Err(Refused::QueueFull { limit }));
                assert_eq!((link.outbound(), link.client.room()), (before, 0));
            }
            // An answer makes room only once it is told, because only then is the buffer free.
            link.send(usize::MAX);
            let reply = reply(&link, cookies[0], OK);
            let consumed = link.client.input(&reply).unwrap().consumed;
            assert_eq!((consumed, link.client.room()), (reply.len(), 0));
            link.poll();
            assert_eq!(link.client.room(), 1);
            link.queue(Command::flush());
            assert_eq!(link.client.room(), 0);
        }
    }
}

#[test]
fn a_limit_out_of_range_is_moved_into_it() {
    for (asked, limit) in [(0, 1), (usize::MAX, 65_536)] {
        let mut setup = Setup::new(ReplyStyle::Simple);
        setup.settings = setup.settings.with_max_in_flight(asked);
        assert_eq!(setup.client().room(), limit);
        setup.settings.max_in_flight = asked;
        assert_eq!(setup.client().room(), limit, "not by way of the setter");
    }
}

#[test]
fn cookies_are_unique_among_those_in_flight_and_not_soon_used_again() {
    let mut link = link(ReplyStyle::Simple);
    let mut ever = BTreeSet::new();
    let mut in_flight: Vec<Cookie> = Vec::new();
    for round in 0..5000usize {
        if in_flight.len() < 100 {
            let cookie = link.submit(Command::flush());
            assert!(ever.insert(cookie), "{cookie} was used before");
            assert_ne!(cookie, Cookie(0));
            in_flight.push(cookie);
        }
        if round % 3 != 0 {
            let cookie = in_flight.swap_remove(round * 7919 % in_flight.len());
            link.feed(&simple(cookie, OK));
            assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
        }
    }
}

#[test]
fn no_done_before_the_last_chunk() {
    for style in CHUNKED {
        let mut link = link(style);
        let read = link.submit(Command::read(0, 64));
        link.feed(&link.chunk(read, MORE, &data(0, &patterns(0..64))));
        assert_eq!(link.seen(), [Seen::Data(read, 0..64)]);
        link.feed(&link.chunk(read, LAST, &Chunk::None));
        assert_eq!(link.seen(), [Seen::Done(read, Ok(()))]);
        // Nor after an error that is not the last word.
        let write = link.submit(Command::write(0, 64));
        link.feed(&link.chunk(write, MORE, &failed(ErrorValue::EIO, b"")));
        assert_eq!((link.seen().len(), link.client.in_flight()), (1, 1));
        link.feed(&link.chunk(write, LAST, &Chunk::None));
        assert!(matches!(&link.seen()[..], [Seen::Done(_, Err(CommandError::Server(_)))]));
    }
}

#[test]
fn more_sent_than_there_was_counts_as_all() {
    let mut link = link(ReplyStyle::Simple);
    let cookie = link.queue(Command::write(0, 64));
    link.client.sent(usize::MAX);
    assert!(!link.client.wants_write());
    link.feed(&simple(cookie, OK));
    let next = link.queue(Command::flush());
    assert_eq!(link.outbound().len(), 28);
    link.feed(&simple(next, OK));
    assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
    link.send(usize::MAX);
    assert_eq!(link.seen(), [Seen::Done(next, Ok(()))]);
}
