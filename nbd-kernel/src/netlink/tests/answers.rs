//! Answers that come among others, in parts, or not.

use std::io::ErrorKind;
use std::iter;

use netlink_packet_core::{NLM_F_MULTIPART, NLMSG_DONE, NLMSG_NOOP, NLMSG_OVERRUN};
use rustix::io::Errno;

use super::octets::{FAMILY, FIRST, PORT, answer, attribute, connected, devices, ended, listed, message, number};
use super::script::{PLAIN, session, session_with_gaps};
use crate::netlink::{Connect, DeviceState, Failure, Malformed};

fn assert_malformed<T: std::fmt::Debug>(result: Result<T, Failure>, expected: Malformed) {
    match result {
        Err(Failure::Malformed(malformed)) => assert_eq!(malformed, expected),
        other => panic!("{other:?} and not {expected:?}"),
    }
}

fn assert_timed_out<T: std::fmt::Debug>(result: Result<T, Failure>) {
    match result {
        Err(Failure::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_and_its_end_may_come_in_one_datagram_or_in_two() {
    let (answer, end) = (connected(FIRST, 5), ended(FIRST, 0));
    for datagrams in [vec![[answer.clone(), end.clone()].concat()], vec![answer, end]] {
        assert_eq!(session(datagrams).0.connect(&PLAIN).unwrap(), 5);
    }
}

#[test]
fn what_comes_behind_the_end_is_not_looked_at() {
    let datagram = [connected(FIRST, 5), ended(FIRST, 0), vec![0xff; 5]].concat();
    assert_eq!(session([datagram]).0.connect(&PLAIN).unwrap(), 5);
}

#[test]
fn a_message_of_odd_length_is_padded_before_the_next_one_and_need_not_be_at_the_end() {
    for cut in 1..4 {
        let attributes = [number(1, 5), attribute(300, &b"xxx"[..4 - cut])];
        let mut odd = answer(FAMILY, FIRST, 1, &attributes);
        let length = odd.len() - cut;
        odd[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        let end = ended(FIRST, 0);
        let together = [odd.clone(), end.clone()].concat();
        for datagrams in [vec![together], vec![odd[..length].to_vec(), end]] {
            assert_eq!(session(datagrams).0.connect(&PLAIN).unwrap(), 5, "{length} bytes");
        }
    }
}

#[test]
fn bytes_before_the_end_that_are_no_message_are_an_error() {
    let datagrams = [[connected(FIRST, 5), vec![0xff; 5]].concat(), ended(FIRST, 0)];
    assert_malformed(session(datagrams).0.connect(&PLAIN), Malformed::Message { left: 5 });
}

#[test]
fn messages_of_others_are_skipped() {
    let payload = [vec![1, 1, 0, 0], number(1, 9)].concat();
    let others = [
        connected(FIRST - 1, 9),
        connected(FIRST + 1, 9),
        connected(0, 9),
        ended(FIRST - 1, -16),
        message(FAMILY, 0, FIRST, PORT + 1, &payload),
        message(FAMILY, 0, FIRST, 0, &payload),
        message(FAMILY + 1, 0, FIRST, PORT, &payload),
        message(NLMSG_NOOP, 0, FIRST, PORT, &[]),
        answer(FAMILY, FIRST, 5, &[number(1, 9)]),
    ];
    let end = [connected(FIRST, 5), ended(FIRST, 0)];
    assert_eq!(session(others.into_iter().chain(end)).0.connect(&PLAIN).unwrap(), 5);
}

#[test]
fn answers_that_come_late_do_not_answer_the_next_request() {
    let late = [listed(FIRST, devices(&[(0, 1)])), ended(FIRST, 0)];
    let next = [listed(FIRST + 1, devices(&[(7, 1)])), ended(FIRST + 1, 0)];
    let (mut session, _) = session_with_gaps(iter::once(None).chain(late.into_iter().chain(next).map(Some)));
    assert_timed_out(session.status(None));
    let devices = session.status(None).unwrap();
    assert_eq!(devices, [DeviceState { index: 7, connected: true }]);
}

#[test]
fn an_end_without_an_answer_is_an_error_where_there_must_be_one() {
    assert_malformed(session([ended(FIRST, 0)]).0.connect(&PLAIN), Malformed::Missing("the device's index"));
    assert_malformed(session([ended(FIRST, 0)]).0.status(None), Malformed::Missing("the list of devices"));
}

#[test]
fn an_answer_without_an_end_is_an_error() {
    assert_timed_out(session([connected(FIRST, 5)]).0.connect(&PLAIN));
    assert_timed_out(session([listed(FIRST, devices(&[]))]).0.status(None));
    assert_timed_out(session([]).0.disconnect(1));
}

#[test]
fn an_index_that_is_not_there_or_there_twice_is_an_error() {
    let end = ended(FIRST, 0);
    let without = answer(FAMILY, FIRST, 1, &[number(2, 5)]);
    assert_malformed(session([without, end.clone()]).0.connect(&PLAIN), Malformed::Missing("the device's index"));
    let twice = answer(FAMILY, FIRST, 1, &[number(1, 5), number(1, 5)]);
    assert_malformed(session([twice, end.clone()]).0.connect(&PLAIN), Malformed::Twice("the device's index"));
    let two = [connected(FIRST, 5), connected(FIRST, 5), end];
    assert_malformed(session(two).0.connect(&PLAIN), Malformed::Twice("the device's index"));
}

#[test]
fn unknown_attributes_and_flags_of_known_ones_are_ignored() {
    let flagged = number(1 | 0x8000 | 0x4000, 5);
    let message = answer(FAMILY, FIRST, 1, &[number(200, 1), flagged, attribute(300, b"x")]);
    assert_eq!(session([message, ended(FIRST, 0)]).0.connect(&PLAIN).unwrap(), 5);
}

#[test]
fn a_device_that_was_not_asked_for_is_an_error() {
    let request = Connect { index: Some(4), ..PLAIN };
    let right = [connected(FIRST, 4), ended(FIRST, 0)];
    assert_eq!(session(right).0.connect(&request).unwrap(), 4);
    let wrong = [connected(FIRST, 5), ended(FIRST, 0)];
    assert_malformed(session(wrong).0.connect(&request), Malformed::Index { asked: 4, came: 5 });
}

#[test]
fn an_answer_of_several_messages_ends_with_done() {
    let part = |index| message(FAMILY, NLM_F_MULTIPART, FIRST, PORT, &listed(FIRST, devices(&[(index, 1)]))[16..]);
    for end in [vec![], vec![0; 4], vec![0; 8]] {
        let done = message(NLMSG_DONE, NLM_F_MULTIPART, FIRST, PORT, &end);
        let devices = session([[part(1), part(2)].concat(), part(3), done]).0.status(None).unwrap();
        assert_eq!(devices.iter().map(|device| device.index).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[test]
fn done_with_an_error_is_a_refusal_and_a_short_one_an_error() {
    let done = message(NLMSG_DONE, NLM_F_MULTIPART, FIRST, PORT, &(-4_i32).to_ne_bytes());
    let failure = session([done]).0.status(None).unwrap_err();
    assert!(matches!(failure, Failure::Refused { errno: Errno::INTR, message: None }), "{failure}");
    let mut short = message(NLMSG_DONE, NLM_F_MULTIPART, FIRST, PORT, &[0; 3]);
    short[0] = 19;
    assert_malformed(session([short]).0.status(None), Malformed::Short { kind: NLMSG_DONE, length: 3 });
}

#[test]
fn an_overrun_is_an_error_of_the_socket() {
    let failure = session([message(NLMSG_OVERRUN, 0, FIRST, PORT, &[])]).0.disconnect(1).unwrap_err();
    assert!(matches!(&failure, Failure::Io(error) if error.raw_os_error() == Some(105)), "{failure}");
}

#[test]
fn an_answer_that_does_not_end_is_given_up() {
    let part = listed(FIRST, devices(&[(1, 1)]));
    for endless in [part, ended(FIRST - 1, 0), vec![]] {
        assert_malformed(session(iter::repeat_n(endless, 5000)).0.status(None), Malformed::Endless);
    }
}
