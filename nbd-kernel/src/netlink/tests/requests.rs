//! Requests in their octets, and requests that have none.

use std::io;
use std::os::fd::AsFd as _;

use netlink_packet_core::NetlinkBuffer;

use super::octets::{FIRST, ended};
use super::script::{PLAIN, Sent, session};
use crate::netlink::{ClientFlags, Connect, Failure, Reconfigure};

/// All requests behind the search for the family.
fn sent(sent: &Sent) -> Vec<Vec<u8>> {
    sent.lock().unwrap()[1..].to_vec()
}

/// The octets of hexadecimal digits.
#[cfg(target_endian = "little")]
fn octets(lines: &[&str]) -> Vec<u8> {
    let digits = lines.concat().replace(' ', "");
    (0..digits.len()).step_by(2).map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap()).collect()
}

#[cfg(target_endian = "little")]
#[test]
fn the_search_for_the_family_has_its_octets() {
    let (_, sent) = session([]);
    let expected = octets(&["1c000000 1000 0500 01000000 00000000", "03 02 0000", "0800 0200 6e626400"]);
    assert_eq!(sent.lock().unwrap()[0], expected);
}

#[cfg(target_endian = "little")]
#[test]
fn connect_with_everything_has_its_octets() {
    let (mut session, log) = session([]);
    let (first, second) = (io::stdout(), io::stderr());
    let request = Connect {
        index: Some(3),
        size: 1 << 20,
        block_size: 4096,
        timeout: Some(30),
        dead_timeout: Some(60),
        server_flags: 0x125,
        client_flags: ClientFlags::DESTROY_ON_DISCONNECT,
        identifier: Some("ab"),
        sockets: &[first.as_fd(), second.as_fd()],
    };
    session.connect(&request).unwrap_err();
    let expected = octets(&[
        "88000000 1c00 0500 02000000 00000000",
        "01 01 0000",
        "0800 0100 03000000",
        "0c00 0200 0000100000000000",
        "0c00 0300 0010000000000000",
        "0c00 0400 1e00000000000000",
        "0c00 0800 3c00000000000000",
        "0c00 0600 0100000000000000",
        "0700 0a00 61620000",
        "1c00 0780",
        "0c00 0180 0800 0100 01000000",
        "0c00 0180 0800 0100 02000000",
        "0c00 0500 2501000000000000",
    ]);
    assert_eq!(sent(&log), [expected]);
}

#[cfg(target_endian = "little")]
#[test]
fn connect_with_nothing_to_spare_has_its_octets() {
    let (mut session, log) = session([]);
    session.connect(&PLAIN).unwrap_err();
    let expected = octets(&[
        "44000000 1c00 0500 02000000 00000000",
        "01 01 0000",
        "0c00 0200 0000100000000000",
        "0c00 0300 0010000000000000",
        "0c00 0600 0000000000000000",
        "0c00 0500 0100000000000000",
    ]);
    assert_eq!(sent(&log), [expected]);
}

#[cfg(target_endian = "little")]
#[test]
fn reconfigure_has_its_octets_with_nothing_and_with_everything() {
    let (mut session, log) = session([ended(FIRST, 0)]);
    session.reconfigure(9, &Reconfigure::default()).unwrap();
    let socket = io::stdout();
    let change = Reconfigure {
        size: Some(0x0102_0304_0506_0708),
        block_size: Some(512),
        timeout: Some(0),
        dead_timeout: Some(u64::MAX),
        client_flags: Some(ClientFlags::all()),
        identifier: Some(""),
        sockets: &[socket.as_fd()],
    };
    session.reconfigure(9, &change).unwrap_err();
    let nothing = octets(&["1c000000 1c00 0500 02000000 00000000", "03 01 0000", "0800 0100 09000000"]);
    let everything = octets(&[
        "70000000 1c00 0500 03000000 00000000",
        "03 01 0000",
        "0800 0100 09000000",
        "0c00 0200 0807060504030201",
        "0c00 0300 0002000000000000",
        "0c00 0400 0000000000000000",
        "0c00 0800 ffffffffffffffff",
        "0c00 0600 0300000000000000",
        "0500 0a00 00000000",
        "1000 0780",
        "0c00 0180 0800 0100 01000000",
    ]);
    assert_eq!(sent(&log), [nothing, everything]);
}

#[cfg(target_endian = "little")]
#[test]
fn disconnect_and_status_have_their_octets() {
    let (mut session, log) = session([ended(FIRST, 0)]);
    session.disconnect(0x0001_0203).unwrap();
    session.status(Some(3)).unwrap_err();
    session.status(None).unwrap_err();
    let disconnect = octets(&["1c000000 1c00 0500 02000000 00000000", "02 01 0000", "0800 0100 03020100"]);
    let of_one = octets(&["1c000000 1c00 0500 03000000 00000000", "05 01 0000", "0800 0100 03000000"]);
    let of_all = octets(&["14000000 1c00 0500 04000000 00000000", "05 01 0000"]);
    assert_eq!(sent(&log), [disconnect, of_one, of_all]);
}

#[test]
fn an_identifier_that_sysfs_could_not_show_is_not_sent() {
    for (identifier, fits) in [("i".repeat(4000), true), ("i".repeat(4001), false), ("a\0b".into(), false)] {
        let (mut session, log) = session([]);
        let identifier = Some(identifier.as_str());
        let connected = session.connect(&Connect { identifier, ..PLAIN }).unwrap_err();
        let changed = session.reconfigure(1, &Reconfigure { identifier, ..Reconfigure::default() }).unwrap_err();
        for failure in [connected, changed] {
            assert_eq!(matches!(failure, Failure::Unsendable(_)), !fits, "{failure}");
        }
        assert_eq!(sent(&log).len(), if fits { 2 } else { 0 });
    }
}

#[test]
fn more_sockets_than_a_list_can_hold_are_not_sent() {
    let socket = io::stdout();
    for (count, fits) in [(5460, true), (5461, false), (70_000, false)] {
        let (mut session, log) = session([]);
        let sockets = vec![socket.as_fd(); count];
        let failure = session.connect(&Connect { sockets: &sockets, ..PLAIN }).unwrap_err();
        assert_eq!(matches!(failure, Failure::Unsendable(_)), !fits, "{failure}");
        let sent = sent(&log);
        let lengths: Vec<_> = sent.iter().map(|sent| NetlinkBuffer::new(sent).length() as usize).collect();
        let expected = 16 + 4 + 4 * 12 + 4 + count * 12;
        assert_eq!(lengths, if fits { vec![expected] } else { vec![] });
    }
}
