//! Lists of devices.

use super::octets::{FAMILY, FIRST, answer, attribute, devices, ended, listed, number};
use super::script::session;
use crate::netlink::{DeviceState, Failure, Malformed};

fn status(index: Option<u32>, list: Vec<u8>) -> Result<Vec<DeviceState>, Failure> {
    session([listed(FIRST, list), ended(FIRST, 0)]).0.status(index)
}

fn malformed(index: Option<u32>, list: Vec<u8>) -> Malformed {
    match status(index, list) {
        Err(Failure::Malformed(malformed)) => malformed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_of_all_lengths_are_read() {
    // From 3277 on, the length of the list has not all its bits. The last one is all devices that there can be.
    for count in [0, 1, 16, 3000, 3276, 3277, 4000, 6553, 6554, 32_768] {
        let states: Vec<_> = (0..count).map(|index| (index, u8::from(index % 3 == 0))).collect();
        let expected: Vec<_> =
            states.iter().map(|(index, state)| DeviceState { index: *index, connected: *state != 0 }).collect();
        assert_eq!(status(None, devices(&states)).unwrap(), expected);
    }
}

#[test]
fn a_list_that_is_longer_than_its_length_can_say_must_be_all_of_its_message() {
    let states: Vec<_> = (0..4000).map(|index| (index, 1)).collect();
    let good = devices(&states);
    let padded = [good.clone(), number(77, 1)].concat();
    let behind = [number(77, 1), good.clone()].concat();
    let twice = [good.clone(), good.clone()].concat();
    let mut other = good.clone();
    other[2..4].copy_from_slice(&10_u16.to_ne_bytes());
    for bad in [padded, behind, twice, other] {
        assert_eq!(malformed(None, bad), Malformed::ListTooLong);
    }
    for length in (0..=u16::MAX).step_by(37) {
        let mut bad = good.clone();
        bad[..2].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(status(None, bad).is_ok(), usize::from(length) == good.len() % 65_536);
    }
}

#[test]
fn any_state_but_0_is_connected() {
    let states = status(None, devices(&[(1, 0), (2, 1), (3, 255)])).unwrap();
    assert_eq!(states.iter().map(|device| device.connected).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_device_that_does_not_exist_is_an_empty_list() {
    assert_eq!(status(Some(9), devices(&[])).unwrap(), []);
}

#[test]
fn the_list_of_one_device_has_no_other() {
    assert_eq!(status(Some(9), devices(&[(9, 1)])).unwrap(), [DeviceState { index: 9, connected: true }]);
    assert_eq!(malformed(Some(9), devices(&[(9, 1), (8, 1)])), Malformed::Index { asked: 9, came: 8 });
}

#[test]
fn items_and_attributes_of_other_kinds_are_ignored() {
    let device = [number(77, 1), number(1, 3), attribute(2, &[1])].concat();
    let list = attribute(9 | 0x8000, &[attribute(2, &number(1, 4)), attribute(1 | 0x8000, &device)].concat());
    let message = answer(FAMILY, FIRST, 5, &[number(77, 1), list]);
    let states = session([message, ended(FIRST, 0)]).0.status(None).unwrap();
    assert_eq!(states, [DeviceState { index: 3, connected: true }]);
}

#[test]
fn a_device_needs_its_index_and_state_once() {
    let with = |device: &[Vec<u8>]| malformed(None, attribute(9, &attribute(1, &device.concat())));
    let (index, state) = (number(1, 3), attribute(2, &[1]));
    assert_eq!(with(std::slice::from_ref(&state)), Malformed::Missing("a device's index"));
    assert_eq!(with(std::slice::from_ref(&index)), Malformed::Missing("a device's state"));
    assert_eq!(with(&[index.clone(), index.clone(), state.clone()]), Malformed::Twice("a device's index"));
    assert_eq!(with(&[index.clone(), state.clone(), state.clone()]), Malformed::Twice("a device's state"));
    assert_eq!(with(&[attribute(1, &[3, 0]), state]), Malformed::Length { name: "a device's index", length: 2 });
    assert_eq!(with(&[index, number(2, 1)]), Malformed::Length { name: "a device's state", length: 4 });
}

#[test]
fn a_status_needs_its_list_once() {
    assert_eq!(malformed(None, number(77, 1)), Malformed::Missing("the list of devices"));
    let twice = [devices(&[]), devices(&[])].concat();
    assert_eq!(malformed(None, twice), Malformed::Twice("the list of devices"));
}
