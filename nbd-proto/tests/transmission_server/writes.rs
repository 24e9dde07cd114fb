//! The payload of a `WRITE`: asked for, then received in place or lent, then the request is complete.

use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::request;
use crate::harness::{Seen, UNTOUCHED, each_style, patterns};

const WRITE: CommandType = CommandType::WRITE;

#[test]
fn the_payload_arrives_where_it_belongs_and_then_the_caller_is_told() {
    each_style(|link| {
        link.ask(7, WRITE, 512, 100);
        assert_eq!(link.seen(), [Seen::Request(0, WRITE), Seen::Data(0, 0..100), Seen::Received(0)]);
        assert_eq!(link.buffers[0], patterns(0, 100));
    });
}

#[test]
fn nothing_is_read_before_consent() {
    each_style(|link| {
        link.consents = false;
        let header = request(link.style, 7, WRITE, CommandFlags::empty(), 0, 5);
        link.feed(&header);
        assert_eq!((link.server.wants_read(), link.server.landing()), (false, None));
        link.feed(b"hello");
        assert_eq!((link.seen(), link.pending.as_slice()), (vec![Seen::Request(0, WRITE)], &b"hello"[..]));
        assert!(!link.server.wants_write());

        link.server.receive(link.id(0)).unwrap();
        assert!(link.server.wants_read());
        assert_eq!(link.server.landing().map(|landing| (landing.owner, landing.range)), Some((link.id(0), 0..5)));
        link.poll();
        assert_eq!(link.seen(), [Seen::Data(0, 0..5), Seen::Received(0)]);
        assert_eq!((link.buffers[0].as_slice(), link.server.landing()), (&b"hello"[..], None));
    });
}

#[test]
fn a_landing_says_where_the_next_byte_belongs() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 10));
        for at in 0..10 {
            assert_eq!(link.server.landing().unwrap().range, at..10);
            link.feed(&[7]);
        }
        assert_eq!((link.server.landing(), link.buffers[0].as_slice()), (None, &[7; 10][..]));
    });
}

#[test]
fn more_landed_than_there_is_room_for_counts_as_all() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 10));
        link.server.landed(usize::MAX);
        link.server.landed(5);
        link.poll();
        assert_eq!(link.seen(), [Seen::Request(0, WRITE), Seen::Received(0)]);
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(7, 0)]);
    });
}

#[test]
fn nothing_landed_changes_nothing() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 10));
        link.server.landed(0);
        link.poll();
        assert_eq!((link.server.landing().unwrap().range, link.buffers[0].as_slice()), (0..10, &[UNTOUCHED; 10][..]));
    });
}

#[test]
fn requests_behind_the_payload_are_understood() {
    each_style(|link| {
        let mut bytes = Vec::new();
        for cookie in 0..3 {
            bytes.extend(request(link.style, cookie, WRITE, CommandFlags::empty(), 0, 4));
            bytes.extend([cookie as u8; 4]);
            bytes.extend(request(link.style, cookie, CommandType::FLUSH, CommandFlags::empty(), 0, 0));
        }
        link.feed(&bytes);
        let commands: Vec<_> = link.requests.iter().map(|request| request.command).collect();
        assert_eq!(commands, [WRITE, CommandType::FLUSH].repeat(3));
        assert_eq!((&link.buffers[0], &link.buffers[2], &link.buffers[4]), (&vec![0; 4], &vec![1; 4], &vec![2; 4]));
    });
}
