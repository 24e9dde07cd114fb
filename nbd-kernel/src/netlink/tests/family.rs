//! What the controller says of a family.

use super::octets::{CONTROLLER, FAMILY, GROUP, NEWFAMILY, answer, attribute, ended, family, group, number};
use super::script::Script;
use crate::netlink::{Failure, Group, Malformed, Session};

fn open(attributes: &[Vec<u8>]) -> Result<Session, Failure> {
    Session::open(Script::wire([answer(CONTROLLER, 1, NEWFAMILY, attributes), ended(1, 0)]).0)
}

fn malformed(attributes: &[Vec<u8>]) -> Malformed {
    match open(attributes) {
        Err(Failure::Malformed(malformed)) => malformed,
        other => panic!("{other:?}"),
    }
}

fn id(id: u16) -> Vec<u8> {
    attribute(1, &id.to_ne_bytes())
}

#[test]
fn the_group_is_found() {
    assert_eq!(open(&family()).unwrap().events_group(), Some(Group { family: FAMILY, id: GROUP }));
}

#[test]
fn the_group_is_found_among_others_and_among_unknown_attributes() {
    let groups = [group("nbd_mc_grou", 3), group("nbd_mc_group2", 4), group("nbd_mc_group", 5), group("", 6)].concat();
    let session = open(&[number(77, 1), id(99), attribute(7 | 0x8000, &groups), attribute(10, &[])]).unwrap();
    assert_eq!(session.events_group(), Some(Group { family: 99, id: 5 }));
}

#[test]
fn a_family_may_have_no_group() {
    for groups in [vec![], attribute(7, &[]), attribute(7, &group("other", 3))] {
        assert_eq!(open(&[id(99), groups]).unwrap().events_group(), None);
    }
}

#[test]
fn a_family_needs_its_number() {
    assert_eq!(malformed(&[]), Malformed::Missing("the family's number"));
    assert_eq!(malformed(&[id(99), id(99)]), Malformed::Twice("the family's number"));
    assert_eq!(malformed(&[number(1, 99)]), Malformed::Length { name: "the family's number", length: 4 });
    for low in [0, 3, 15] {
        assert_eq!(malformed(&[id(low)]), Malformed::FamilyId(low), "the number of control messages");
    }
}

#[test]
fn a_group_needs_its_name_and_number() {
    let with = |groups: &[Vec<u8>]| malformed(&[id(99), attribute(7, &groups.concat())]);
    assert_eq!(with(&[attribute(1, &number(2, 5))]), Malformed::Missing("a group's name"));
    assert_eq!(with(&[attribute(1, &attribute(1, b"nbd_mc_group\0"))]), Malformed::Missing("a group's number"));
    assert_eq!(with(&[group("nbd_mc_group", 3), group("nbd_mc_group", 4)]), Malformed::Twice("the group"));
    assert_eq!(with(&[vec![1]]), Malformed::Attribute);
    let twice = [attribute(7, &[]), attribute(7, &[])].concat();
    assert_eq!(malformed(&[id(99), twice]), Malformed::Twice("the list of groups"));
}

#[test]
fn an_end_without_a_family_or_with_two_is_an_error() {
    let failure = Session::open(Script::wire([ended(1, 0)]).0).unwrap_err();
    assert!(matches!(failure, Failure::Malformed(Malformed::Missing("the family"))), "{failure}");
    let found = answer(CONTROLLER, 1, NEWFAMILY, &family());
    let failure = Session::open(Script::wire([found.clone(), found, ended(1, 0)]).0).unwrap_err();
    assert!(matches!(failure, Failure::Malformed(Malformed::Twice("the family"))), "{failure}");
}
