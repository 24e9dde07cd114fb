//! Each request that the caller was told of ends in exactly one `Done`, which says whether its answer went out.

use nbd_proto::transmission::ReadPart;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::harness::{Link, Seen, each_style};

fn dones(link: &mut Link) -> Vec<(usize, bool)> {
    let done = |seen| if let Seen::Done(number, sent) = seen { Some((number, sent)) } else { None };
    link.seen().into_iter().filter_map(done).collect()
}

#[test]
fn not_before_the_last_byte_was_sent() {
    each_style(|link| {
        link.ask(1, CommandType::READ, 0, 10);
        link.finish_read(0, &[ReadPart::Data(10)]).unwrap();
        for _ in 1..link.outbound().len() {
            link.send(1);
            assert_eq!((dones(link), link.server.in_flight()), (vec![], 1));
        }
        link.send(1);
        assert_eq!((dones(link), link.server.in_flight()), (vec![(0, true)], 0));
    });
}

#[test]
fn for_all_answers_of_one_write_at_once() {
    each_style(|link| {
        for cookie in 0..4 {
            link.ask(cookie, CommandType::FLUSH, 0, 0);
        }
        for number in [2, 0, 3, 1] {
            link.finish(number).unwrap();
        }
        link.send(usize::MAX);
        assert_eq!(dones(link), [(2, true), (0, true), (3, true), (1, true)]);
    });
}

#[test]
fn for_failures_as_for_successes() {
    each_style(|link| {
        link.ask(1, CommandType::READ, 0, 10);
        link.fail(0, ErrorValue::EIO).unwrap();
        link.send_all();
        assert_eq!(dones(link), [(0, true)]);
    });
}

#[test]
fn what_was_sent_before_the_end_is_told_first_and_as_sent() {
    each_style(|link| {
        for cookie in 0..4 {
            link.ask(cookie, CommandType::FLUSH, 0, 0);
        }
        link.finish(3).unwrap();
        let length = link.outbound().len();
        link.finish(1).unwrap();
        // All of the first answer and half of the second.
        link.server.sent(length + 8);
        link.server.give_up("gone");
        link.poll();
        let mut dones = dones(link);
        assert_eq!(dones.remove(0), (3, true));
        dones.sort_unstable();
        assert_eq!(dones, [(0, false), (1, false), (2, false)]);
        assert!(link.error.is_some());
    });
}

#[test]
fn none_for_what_the_caller_was_not_told_of() {
    each_style(|link| {
        link.ask(1, CommandType(77), 0, 0);
        link.ask(2, CommandType::READ, 0, 0);
        link.ask(3, CommandType(77), 0, 0);
        link.send(20);
        link.server.give_up("gone");
        link.poll();
        assert_eq!((link.seen(), link.server.in_flight()), (vec![], 0));
    });
}
