//! At the limit of requests in flight nothing more is read, and nothing goes wrong.

use nbd_proto::transmission::ServerSettings;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::request;
use crate::harness::{Link, Seen, each_way};
use crate::setup::{STYLES, Setup};

const FLUSH: CommandType = CommandType::FLUSH;

#[track_caller]
fn play(limit: usize, scene: impl Fn(&mut Link)) {
    let settings = ServerSettings::default().with_max_in_flight(limit);
    for style in STYLES {
        each_way(&Setup::new(style).with_settings(settings), &scene);
    }
}

#[test]
fn no_more_requests_than_the_limit_are_told() {
    play(3, |link| {
        for cookie in 0..5 {
            assert_eq!(link.server.wants_read(), cookie < 3);
            link.ask(cookie, FLUSH, 0, 0);
        }
        assert_eq!((link.requests.len(), link.server.in_flight()), (3, 3));
        assert_eq!((link.server.over(), link.pending.is_empty()), (None, false));
    });
}

#[test]
fn an_answer_makes_room_once_it_is_sent_and_the_caller_has_its_done() {
    play(1, |link| {
        link.ask(0, FLUSH, 0, 0);
        link.ask(1, FLUSH, 0, 0);
        link.finish(0).unwrap();
        link.poll();
        assert_eq!((link.requests.len(), link.server.wants_read()), (1, false));

        let all = link.outbound().len();
        link.server.sent(all - 1);
        link.poll();
        assert_eq!(link.requests.len(), 1);
        link.server.sent(1);
        // The place is free with the `Done`, so that whoever keeps tables by slots never has two in one.
        assert!(!link.server.wants_read());
        link.poll();
        assert_eq!(link.seen(), [Seen::Request(0, FLUSH), Seen::Done(0, true), Seen::Request(1, FLUSH)]);
    });
}

#[test]
fn what_the_engine_answers_by_itself_counts_too() {
    play(3, |link| {
        link.ask(0, CommandType(77), 0, 0);
        link.ask(1, CommandType::READ, 0, 0);
        link.ask(2, CommandType::WRITE, 1 << 20, 5);
        assert_eq!((link.server.in_flight(), link.server.wants_read()), (3, false));
        link.ask(3, FLUSH, 0, 0);
        assert_eq!(link.requests.len(), 0);
        assert_eq!(link.answers(), [(0, 22), (1, 0), (2, 28)]);
        assert_eq!((link.requests.len(), link.server.in_flight()), (1, 1));
    });
}

#[test]
fn payload_of_the_last_request_is_still_read() {
    play(1, |link| {
        link.feed(&request(link.style, 0, CommandType::WRITE, CommandFlags::empty(), 0, 4));
        assert!(link.server.wants_read());
        link.feed(b"da");
        assert!(link.server.wants_read());
        link.feed(b"ta");
        assert_eq!((link.buffers[0].as_slice(), link.server.wants_read()), (&b"data"[..], false));

        link.finish(0).unwrap();
        link.send_all();
        // And so is what is skipped.
        link.feed(&request(link.style, 1, CommandType::WRITE, CommandFlags::empty(), 1 << 20, 4));
        assert!(link.server.wants_read());
        link.feed(b"data");
        assert!(!link.server.wants_read());
    });
}

#[test]
fn a_disconnect_waits_its_turn() {
    play(1, |link| {
        link.ask(0, FLUSH, 0, 0);
        link.ask(1, CommandType::DISC, 0, 0);
        assert!(!link.server.is_disconnecting());
        link.fail(0, ErrorValue::EIO).unwrap();
        link.send_all();
        assert!(link.server.is_finished());
    });
}

#[test]
fn a_limit_of_nothing_is_one() {
    let mut settings = ServerSettings::default().with_max_in_flight(0);
    assert_eq!(settings.max_in_flight, 1);
    assert_eq!(settings.with_max_in_flight(usize::MAX).max_in_flight, 65_536);
    settings.max_in_flight = 0;
    for style in STYLES {
        each_way(&Setup::new(style).with_settings(settings), |link| {
            link.ask(0, FLUSH, 0, 0);
            assert_eq!((link.requests.len(), link.server.wants_read()), (1, false));
        });
    }
}

#[test]
fn slots_stay_below_the_limit() {
    play(3, |link| {
        for turn in 0..20 {
            for cookie in 0..3 {
                link.ask(cookie, FLUSH, 0, 0);
            }
            let first = turn * 3;
            let mut slots: Vec<_> = (first..first + 3).map(|number| link.id(number).slot()).collect();
            slots.sort_unstable();
            assert_eq!(slots, [0, 1, 2]);
            for number in [1, 2, 0] {
                link.finish(first + (number + turn) % 3).unwrap();
            }
            link.send_all();
        }
    });
}
