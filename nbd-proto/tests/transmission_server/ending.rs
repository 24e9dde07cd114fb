//! The end of the stream in every state, and what it is called.

use nbd_proto::error::{Ended, Error};
use nbd_proto::transmission::ServerSettings;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::{filtered_status, request};
use crate::harness::{Link, Seen, each_style, each_way};
use crate::setup::{BASE, STYLES, Setup};

fn boundary() -> Error {
    Ended::AtBoundary { awaiting: "a request" }.into()
}

fn within(what: &'static str) -> Error {
    Ended::InMessage { within: what }.into()
}

fn write(link: &Link, offset: u64) -> Vec<u8> {
    request(link.style, 1, CommandType::WRITE, CommandFlags::empty(), offset, 10)
}

#[test]
fn before_the_first_request() {
    each_style(|link| assert_eq!(link.eof(), boundary()));
}

#[test]
fn between_requests() {
    each_style(|link| {
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.ask(2, CommandType(77), 0, 0);
        link.ask(3, CommandType::WRITE, 0, 10);
        assert_eq!(link.eof(), boundary());
        assert_eq!(link.seen().last(), Some(&Seen::Done(0, false)));
    });
}

#[test]
fn in_a_header() {
    for count in [1, 3, 4, 27] {
        each_style(|link| {
            let header = write(link, 0);
            link.feed(&header[..count]);
            assert_eq!(link.eof(), within("a request"));
        });
    }
}

#[test]
fn in_a_header_behind_a_whole_request() {
    each_style(|link| {
        let flush = request(link.style, 1, CommandType::FLUSH, CommandFlags::empty(), 0, 0);
        link.feed(&[&flush, &flush[..5]].concat());
        assert_eq!(link.eof(), within("a request"));
    });
}

#[test]
fn before_consent() {
    each_style(|link| {
        link.consents = false;
        link.feed(&write(link, 0));
        assert_eq!(link.eof(), within("the payload of a request"));
    });
}

#[test]
fn in_payload() {
    each_style(|link| {
        link.feed(&write(link, 0));
        link.feed(&[0; 9]);
        assert_eq!(link.eof(), within("the payload of a request"));
        assert_eq!(link.seen().last(), Some(&Seen::Done(0, false)));
    });
}

#[test]
fn in_payload_that_is_skipped() {
    each_style(|link| {
        link.feed(&write(link, 1 << 20));
        link.feed(&[0; 9]);
        assert_eq!(link.eof(), within("the payload of a request"));
        assert_eq!((link.requests.len(), link.server.in_flight()), (0, 0));
    });
}

#[test]
fn behind_payload() {
    each_style(|link| {
        link.feed(&write(link, 0));
        link.feed(&[0; 10]);
        assert_eq!(link.eof(), boundary());
    });
}

#[test]
fn behind_payload_that_has_landed_before_anybody_was_told() {
    each_style(|link| {
        link.feed(&write(link, 0));
        link.server.landed(10);
        assert_eq!(link.eof(), boundary());
        assert_eq!(link.seen(), [Seen::Request(0, CommandType::WRITE), Seen::Done(0, false)]);
    });
}

#[test]
fn behind_payload_that_came_before_consent() {
    each_style(|link| {
        link.consents = false;
        let header = write(link, 0);
        link.feed(&[&header[..], &[0; 10]].concat());
        link.server.receive(link.id(0)).unwrap();
        link.poll();
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(1, 0)]);
        assert_eq!(link.eof(), boundary());
    });
}

#[test]
fn in_a_list_of_contexts() {
    for count in [32, 33, 43] {
        each_way(&Setup::new(STYLES[2]), |link| {
            let status = filtered_status(7, 0, 0, 512, &[BASE]);
            link.feed(&status[..count]);
            assert_eq!(link.eof(), within("a request"));
        });
    }
}

#[test]
fn at_the_limit_of_requests_in_flight() {
    let settings = ServerSettings::default().with_max_in_flight(1);
    for style in STYLES {
        each_way(&Setup::new(style).with_settings(settings), |link| {
            link.ask(1, CommandType::FLUSH, 0, 0);
            assert_eq!(link.eof(), boundary());
        });
    }
}

#[test]
fn the_first_error_stays() {
    each_style(|link| {
        link.server.give_up("first");
        link.server.give_up("second");
        assert_eq!(link.eof().to_string(), "first");
    });
}

#[test]
fn an_answer_that_is_half_sent_is_not_sent_on() {
    each_style(|link| {
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.fail(0, ErrorValue::EIO).unwrap();
        link.send(5);
        link.eof();
        assert_eq!((link.outbound(), link.seen().last()), (vec![], Some(&Seen::Done(0, false))));
    });
}
