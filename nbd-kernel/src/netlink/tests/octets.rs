//! Messages as the kernel sends them.

use netlink_packet_core::{NLM_F_CAPPED, NLMSG_ERROR};

/// Of the script's wire.
pub(crate) const PORT: u32 = 77;
/// The driver's number.
pub(crate) const FAMILY: u16 = 28;
/// The number of the driver's group.
pub(crate) const GROUP: u32 = 7;
/// The controller's number.
pub(crate) const CONTROLLER: u16 = 16;
/// The command that the controller answers with.
pub(crate) const NEWFAMILY: u8 = 1;

/// The number of the first request behind the search for the family.
pub(crate) const FIRST: u32 = 2;

pub(crate) fn message(kind: u16, flags: u16, sequence: u32, port: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    out.extend([kind, flags].map(u16::to_ne_bytes).concat());
    out.extend([sequence, port].map(u32::to_ne_bytes).concat());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A message of a family to our port.
pub(crate) fn answer(family: u16, sequence: u32, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    message(family, 0, sequence, PORT, &[vec![command, 1, 0, 0], attributes.concat()].concat())
}

/// As an acknowledgement of a request of 16 bytes.
pub(crate) fn ended(sequence: u32, code: i32) -> Vec<u8> {
    let payload = [code.to_ne_bytes().to_vec(), echo(16)].concat();
    message(NLMSG_ERROR, NLM_F_CAPPED, sequence, PORT, &payload)
}

/// A request of this length, as it comes back.
pub(crate) fn echo(length: u32) -> Vec<u8> {
    let mut out = length.to_ne_bytes().to_vec();
    out.resize(length as usize, 0xee);
    out
}

pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Of a list that is too long, as many bits as there are.
    let length = (4 + value.len()) as u16;
    let mut out = [length, kind].map(u16::to_ne_bytes).concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub(crate) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

/// A group in the controller's answer.
pub(crate) fn group(name: &str, id: u32) -> Vec<u8> {
    attribute(1, &[attribute(1, &[name.as_bytes(), &[0]].concat()), number(2, id)].concat())
}

/// What the controller says of the driver.
pub(crate) fn family() -> Vec<Vec<u8>> {
    vec![
        attribute(2, b"nbd\0"),
        attribute(1, &FAMILY.to_ne_bytes()),
        number(3, 1),
        number(4, 0),
        number(5, 10),
        attribute(7, &group("nbd_mc_group", GROUP)),
    ]
}

/// The answer of the kernel to CONNECT.
pub(crate) fn connected(sequence: u32, index: u32) -> Vec<u8> {
    answer(FAMILY, sequence, 1, &[number(1, index)])
}

/// The list of devices of these indices and states.
pub(crate) fn devices(states: &[(u32, u8)]) -> Vec<u8> {
    let items =
        states.iter().map(|(index, state)| attribute(1, &[number(1, *index), attribute(2, &[*state])].concat()));
    attribute(9, &items.collect::<Vec<_>>().concat())
}

/// The answer of the kernel to STATUS.
pub(crate) fn listed(sequence: u32, list: Vec<u8>) -> Vec<u8> {
    answer(FAMILY, sequence, 5, &[list])
}

/// A message to the group.
pub(crate) fn link_dead(index: u32) -> Vec<u8> {
    message(FAMILY, 0, 0, 0, &[vec![4, 1, 0, 0], number(1, index)].concat())
}
