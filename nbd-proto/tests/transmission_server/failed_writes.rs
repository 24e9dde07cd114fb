//! Writes that the caller fails, before, within and behind their payload.

use nbd_proto::error::Refused;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Failure, ServerSettings};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::{chunks, request};
use crate::harness::{Link, Seen, each_style, each_way};
use crate::setup::{STYLES, Setup};

const WRITE: CommandType = CommandType::WRITE;
const EIO: u32 = 5;

/// The write is over, and what follows is understood.
fn assert_failed(link: &mut Link) {
    link.ask(8, CommandType(77), 0, 0);
    assert_eq!(link.answers(), [(7, EIO), (8, 22)]);
    assert_eq!(link.seen().last(), Some(&Seen::Done(0, true)));
    assert_eq!((link.server.in_flight(), link.server.landing()), (0, None));
}

#[test]
fn before_consent() {
    each_style(|link| {
        link.consents = false;
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 30));
        link.fail(0, ErrorValue::EIO).unwrap();
        assert!(link.server.wants_read() && !link.server.wants_write());
        link.feed(&[1; 29]);
        assert!(!link.server.wants_write());
        link.feed(&[1]);
        assert_failed(link);
    });
}

#[test]
fn before_consent_with_the_payload_there() {
    each_style(|link| {
        link.consents = false;
        link.ask(7, WRITE, 0, 30);
        link.fail(0, ErrorValue::EIO).unwrap();
        link.poll();
        assert!(link.pending.is_empty());
        assert_failed(link);
    });
}

#[test]
fn in_the_middle_of_the_payload() {
    for there in [0, 1, 15, 29] {
        each_style(|link| {
            link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 30));
            link.feed(&vec![1; there]);
            link.fail(0, ErrorValue::EIO).unwrap();
            assert_eq!((link.server.landing(), link.server.wants_write()), (None, false));
            link.feed(&vec![1; 29 - there]);
            assert!(!link.server.wants_write());
            link.feed(&[1]);
            assert_failed(link);
            assert!(!link.seen().contains(&Seen::Received(0)));
        });
    }
}

#[test]
fn when_all_has_landed_and_the_caller_was_not_told_yet() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 30));
        link.server.landed(30);
        link.fail(0, ErrorValue::EIO).unwrap();
        assert!(link.server.wants_write());
        link.poll();
        assert_eq!(link.seen(), [Seen::Request(0, WRITE)]);
        assert_failed(link);
    });
}

#[test]
fn after_it_has_been_received() {
    each_style(|link| {
        link.ask(7, WRITE, 0, 30);
        link.fail(0, ErrorValue::EIO).unwrap();
        assert_failed(link);
    });
}

#[test]
fn the_answer_keeps_its_words_and_its_place_while_payload_is_skipped() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 512, 30));
        let words = String::from("gone");
        let failure = Failure { error: ErrorValue::EIO, message: &words, offset: Some(520) };
        link.server.fail(link.id(0), &failure).unwrap();
        drop(words);
        link.feed(&[1; 30]);
        let answer = &chunks(&link.send_all())[0];
        assert_eq!(answer.error(), EIO);
        if link.style != ReplyStyle::Simple {
            assert_eq!((answer.kind, answer.message()), (Some(0x8002), "gone"));
            assert_eq!(answer.payload[10..], 520u64.to_be_bytes());
        }
    });
}

#[test]
fn each_answer_has_its_own_words_and_place() {
    each_style(|link| {
        for (number, (message, offset)) in [("the first", Some(520)), ("two", None)].into_iter().enumerate() {
            link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 512, 30));
            let failure = Failure { error: ErrorValue::EIO, message, offset };
            link.server.fail(link.id(number), &failure).unwrap();
            link.feed(&[1; 30]);
            let answer = &chunks(&link.send_all())[0];
            if link.style != ReplyStyle::Simple {
                let kind = if offset.is_some() { 0x8002 } else { 0x8001 };
                assert_eq!((answer.kind, answer.message()), (Some(kind), message));
            }
        }
    });
}

#[test]
fn a_write_that_has_failed_takes_no_other_answer_while_it_is_skipped() {
    each_style(|link| {
        link.feed(&request(link.style, 7, WRITE, CommandFlags::empty(), 0, 30));
        link.fail(0, ErrorValue::EIO).unwrap();
        let refused = |result| matches!(result, Err(Refused::Answer { .. }));
        assert!(refused(link.finish(0)) && refused(link.fail(0, ErrorValue::EPERM)));
        assert!(refused(link.server.receive(link.id(0))));
        link.feed(&[1; 30]);
        assert_failed(link);
    });
}

// It is not longer than the maximum payload, so that no client can make it last for ever.
#[test]
fn the_limit_of_what_is_skipped_is_for_what_the_engine_refuses() {
    let settings = ServerSettings::default().with_max_skipped(0);
    for style in STYLES {
        each_way(&Setup::new(style).with_settings(settings), |link| {
            link.consents = false;
            link.ask(7, WRITE, 0, 30);
            link.fail(0, ErrorValue::EIO).unwrap();
            link.poll();
            assert_failed(link);
        });
    }
}
