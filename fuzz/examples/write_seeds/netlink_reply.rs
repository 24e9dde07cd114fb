//! Datagrams of the kernel's netlink socket, by hand, for a host of little-endian order.

use crate::Seeds;

const PORT: u32 = 77;
const CONTROLLER: u16 = 16;
const FAMILY: u16 = 28;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const EXTENDED_TEXT: u16 = 0x200;
const CAPPED: u16 = 0x100;

/// What is asked, and the datagrams that come.
fn asked(what: u8, datagrams: &[&[Vec<u8>]]) -> Vec<u8> {
    let mut seed = vec![what];
    for datagram in datagrams.iter().map(|messages| messages.concat()) {
        seed.extend((datagram.len() as u16).to_be_bytes());
        seed.extend(datagram);
    }
    seed
}

fn netlink(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (16 + payload.len() as u32).to_le_bytes().to_vec();
    out.extend([kind, flags].map(u16::to_le_bytes).concat());
    out.extend([sequence, PORT].map(u32::to_le_bytes).concat());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A message of a family, in answer to the request of this number.
fn answer(kind: u16, sequence: u32, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    netlink(kind, 0, sequence, &[vec![command, 1, 0, 0], attributes.concat()].concat())
}

/// The end of an answer; the request's header, or all of it, comes back.
fn end(flags: u16, sequence: u32, code: i32, request: usize, text: &[Vec<u8>]) -> Vec<u8> {
    let mut echo = vec![0; request];
    echo[..4].copy_from_slice(&(request as u32).to_le_bytes());
    netlink(ERROR, flags, sequence, &[code.to_le_bytes().to_vec(), echo, text.concat()].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [4 + value.len() as u16, kind].map(u16::to_le_bytes).concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_le_bytes())
}

fn devices(states: &[(u32, u8)]) -> Vec<u8> {
    let item =
        |(index, connected): &(u32, u8)| attribute(1, &[number(1, *index), attribute(2, &[*connected])].concat());
    attribute(9, &states.iter().map(item).collect::<Vec<_>>().concat())
}

pub fn seeds() -> Seeds {
    let ok = |sequence| end(CAPPED, sequence, 0, 16, &[]);
    let group = |name: &[u8], id| attribute(1, &[attribute(1, name), number(2, id)].concat());
    let family = answer(
        CONTROLLER,
        1,
        1,
        &[
            attribute(2, b"nbd\0"),
            attribute(1, &FAMILY.to_le_bytes()),
            number(3, 1),
            attribute(6, &attribute(1, &[number(1, 1), number(2, 10)].concat())),
            attribute(7, &[group(b"other\0", 40), group(b"nbd_mc_group\0", 7)].concat()),
            attribute(77, b"new"),
        ],
    );
    let connected = |index| answer(FAMILY, 2, 1, &[number(1, index)]);
    let few = devices(&[(0, 1), (1, 0), (2, 0), (700, 1)]);
    let listed = |list: &Vec<u8>| answer(FAMILY, 2, 5, std::slice::from_ref(list));
    let text = [attribute(1, b"no such luck\0"), number(2, 20)];
    let dead = |index| answer(FAMILY, 0, 4, &[number(1, index)]);
    vec![
        ("family", asked(0, &[std::slice::from_ref(&family), &[ok(1)]])),
        ("family_absent", asked(0, &[&[end(CAPPED, 1, -2, 16, &[])]])),
        ("connect_any", asked(1, &[&[connected(3)], &[ok(2)]])),
        ("connect_in_one_datagram", asked(2, &[&[connected(3), ok(2)]])),
        ("connect_another", asked(2, &[&[connected(4)], &[ok(2)]])),
        ("connect_busy", asked(2, &[&[end(0, 2, -16, 60, &[])]])),
        ("connect_text", asked(1, &[&[end(CAPPED | EXTENDED_TEXT, 2, -22, 16, &text)]])),
        ("connect_text_behind_request", asked(1, &[&[end(EXTENDED_TEXT, 2, -22, 60, &text)]])),
        ("connect_missing", asked(1, &[&[end(CAPPED | EXTENDED_TEXT, 2, -22, 16, &[number(5, 2)])]])),
        ("connect_late", asked(1, &[&[ok(1)], &[netlink(1, 0, 2, &[]), connected(0)], &[ok(2)]])),
        ("reconfigure", asked(3, &[&[ok(2)]])),
        ("disconnect_refused", asked(4, &[&[end(CAPPED, 2, -1, 16, &[])]])),
        ("status_few", asked(5, &[&[listed(&few)], &[ok(2)]])),
        ("status_parts", asked(5, &[&[listed(&few), listed(&few)], &[netlink(DONE, 2, 2, &[0; 4])]])),
        ("status_one", asked(6, &[&[listed(&devices(&[(3, 1)]))], &[ok(2)]])),
        ("status_none", asked(6, &[&[listed(&devices(&[]))], &[ok(2)]])),
        ("events", asked(7, &[&[dead(3), dead(9), answer(29, 0, 4, &[])], &[answer(FAMILY, 0, 1, &[])], &[dead(3)]])),
    ]
}
