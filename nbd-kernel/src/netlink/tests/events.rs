//! What is read out of datagrams that nobody asked for.

use std::collections::VecDeque;

use super::octets::{FAMILY, attribute, ended, link_dead, message, number};
use crate::netlink::Malformed;
use crate::netlink::events::parse;

/// The devices in a datagram, and whether it was good.
fn read(datagram: &[u8]) -> (Vec<u32>, Result<(), Malformed>) {
    let mut indices = VecDeque::new();
    let result = parse(datagram, FAMILY, &mut indices);
    (indices.into(), result)
}

fn news(command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    message(FAMILY, 0, 0, 0, &[vec![command, 1, 0, 0], attributes.concat()].concat())
}

#[test]
fn all_messages_of_a_datagram_are_read() {
    assert_eq!(read(&[]), (vec![], Ok(())));
    assert_eq!(read(&link_dead(3)), (vec![3], Ok(())));
    assert_eq!(read(&[link_dead(3), link_dead(9), link_dead(3)].concat()), (vec![3, 9, 3], Ok(())));
}

#[test]
fn messages_of_other_families_and_commands_are_skipped() {
    let mut other = link_dead(5);
    other[4..6].copy_from_slice(&(FAMILY + 1).to_ne_bytes());
    let command = news(1, &[number(1, 5)]);
    let short = message(FAMILY + 1, 0, 0, 0, &[]);
    assert_eq!(read(&[other, command, ended(1, 0), short, link_dead(3)].concat()), (vec![3], Ok(())));
}

#[test]
fn unknown_attributes_are_ignored() {
    assert_eq!(read(&news(4, &[number(77, 1), number(1 | 0x8000, 3)])), (vec![3], Ok(())));
}

#[test]
fn an_event_needs_its_index_once() {
    assert_eq!(read(&news(4, &[])), (vec![], Err(Malformed::Missing("the device's index"))));
    let twice = news(4, &[number(1, 3), number(1, 3)]);
    assert_eq!(read(&twice), (vec![], Err(Malformed::Twice("the device's index"))));
    let short = news(4, &[attribute(1, &[3, 0])]);
    assert_eq!(read(&short), (vec![], Err(Malformed::Length { name: "the device's index", length: 2 })));
}

#[test]
fn what_comes_before_an_error_counts() {
    let two = [link_dead(3), link_dead(9)].concat();
    for cut in 29..56 {
        assert_eq!(read(&two[..cut]), (vec![3], Err(Malformed::Message { left: cut - 28 })));
    }
    let short = message(FAMILY, 0, 0, 0, &[]);
    let expected = Malformed::Short { kind: FAMILY, length: 0 };
    assert_eq!(read(&[link_dead(3), short].concat()), (vec![3], Err(expected)));
}
