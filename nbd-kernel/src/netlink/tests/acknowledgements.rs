//! Error numbers, and what is said about them.

use netlink_packet_core::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR};
use rustix::io::Errno;

use super::octets::{FIRST, PORT, attribute, echo, ended, message, number};
use super::script::{PLAIN, Script, session};
use crate::netlink::{Failure, Malformed, Reconfigure, Session};

/// What each request makes of an answer of one datagram to the first request behind the search for the family.
fn each_request(datagram: &[u8]) -> [Failure; 4] {
    let session = || session([datagram.to_vec()]).0;
    [
        session().connect(&PLAIN).unwrap_err(),
        session().reconfigure(1, &Reconfigure::default()).unwrap_err(),
        session().disconnect(1).unwrap_err(),
        session().status(None).unwrap_err(),
    ]
}

fn search(code: i32) -> Failure {
    Session::open(Script::wire([ended(1, code)]).0).unwrap_err()
}

fn is_refusal(failure: &Failure, expected: i32) -> bool {
    matches!(failure, Failure::Refused { errno, message: None } if errno.raw_os_error() == expected)
}

#[test]
fn each_request_can_be_refused_with_each_error_number() {
    for errno in 1..=4095 {
        for (request, failure) in each_request(&ended(FIRST, -errno)).iter().enumerate() {
            assert!(is_refusal(failure, errno), "request {request}: {failure}");
        }
        if errno != Errno::NOENT.raw_os_error() {
            assert!(is_refusal(&search(-errno), errno));
        }
    }
}

#[test]
fn a_name_that_the_controller_does_not_know_is_no_family() {
    assert!(matches!(search(-2), Failure::NoFamily));
}

#[test]
fn what_is_no_negated_error_number_is_an_error() {
    for code in [1, 22, i32::MAX, i32::MIN, i32::MIN + 1, -4096, -65_558] {
        let expected =
            |failure: &Failure| matches!(failure, Failure::Malformed(Malformed::Code(came)) if *came == code);
        assert!(each_request(&ended(FIRST, code)).iter().all(expected), "{code}");
        assert!(expected(&search(code)), "{code}");
    }
}

/// The text that comes with a refusal with this behind the code.
fn text(flags: u16, behind_code: &[Vec<u8>]) -> Option<String> {
    let payload = [(-22_i32).to_ne_bytes().to_vec(), behind_code.concat()].concat();
    let datagram = message(NLMSG_ERROR, flags, FIRST, PORT, &payload);
    match session([datagram]).0.disconnect(1) {
        Err(Failure::Refused { errno: Errno::INVAL, message }) => message,
        other => panic!("{other:?}"),
    }
}

const BOTH: u16 = NLM_F_CAPPED | NLM_F_ACK_TLVS;

#[test]
fn the_kernels_text_is_found_behind_the_header_and_behind_a_whole_request() {
    let said = || attribute(1, b"no such luck\0");
    assert_eq!(text(BOTH, &[echo(16), said()]).unwrap(), "no such luck");
    assert_eq!(text(BOTH, &[echo(16), number(2, 20), said(), number(99, 1)]).unwrap(), "no such luck");
    let request = [60_u32.to_ne_bytes().to_vec(), vec![0xee; 12]].concat();
    assert_eq!(text(BOTH, &[request, said()]).unwrap(), "no such luck", "the header tells the request's length");
    assert_eq!(text(NLM_F_ACK_TLVS, &[echo(60), said()]).unwrap(), "no such luck");
    assert_eq!(text(NLM_F_ACK_TLVS, &[echo(57), vec![0; 3], said()]).unwrap(), "no such luck", "padded");
}

#[test]
fn the_kernels_text_is_kept_as_it_is_but_for_what_is_no_text() {
    let said = |bytes: &[u8]| text(BOTH, &[echo(16), attribute(1, bytes)]).unwrap();
    assert_eq!(said(b"a\x1b[2J"), "a\u{1b}[2J");
    assert_eq!(said(b"a\xffb\0c"), "a\u{fffd}b");
    assert_eq!(said(b""), "");
}

#[test]
fn an_attribute_that_the_kernel_misses_is_named() {
    assert_eq!(text(BOTH, &[echo(16), number(5, 2)]).unwrap(), "attribute 2 is missing");
    assert_eq!(text(BOTH, &[echo(16), attribute(5, &[2, 0])]), None, "of a wrong length");
}

#[test]
fn text_that_cannot_be_found_does_not_hide_the_error_number() {
    let said = || attribute(1, b"no such luck\0");
    assert_eq!(text(NLM_F_CAPPED, &[echo(16), said()]), None, "no flag");
    assert_eq!(text(BOTH, &[]), None, "no header");
    assert_eq!(text(BOTH, &[vec![0; 15]]), None, "part of a header");
    assert_eq!(text(BOTH, &[echo(16)]), None, "no attribute");
    assert_eq!(text(BOTH, &[echo(16), said(), said()]), None, "two texts");
    assert_eq!(text(BOTH, &[echo(16), vec![200, 0, 1, 0]]), None, "a wrong length");
    for length in [61_u32, 1000, u32::MAX - 3, u32::MAX] {
        let header = [length.to_ne_bytes().to_vec(), vec![0; 12]].concat();
        assert_eq!(text(NLM_F_ACK_TLVS, &[header, said()]), None, "a request of {length} bytes");
    }
}

#[test]
fn an_end_without_a_code_is_an_error() {
    for length in 0..4_usize {
        let mut datagram = message(NLMSG_ERROR, 0, FIRST, PORT, &vec![0; length]);
        datagram.truncate(16 + length);
        for failure in each_request(&datagram) {
            let expected = Malformed::Short { kind: NLMSG_ERROR, length };
            assert!(matches!(failure, Failure::Malformed(malformed) if malformed == expected), "{failure}");
        }
    }
}
