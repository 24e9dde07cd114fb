//! CVE-2023-5871: a server that agreed to extended headers tells extents with 64-bit flags, of no length, or of huge ones,
//! and a client that had reckoned with 32 bits fails an assertion.
//!
//! We promise: 64-bit flags arrive whole where a context may have them, and end the session where it may not; extents of no
//! length, and such as begin behind what was asked, end it too; sums of lengths never wrap; a huge last extent is fine.

use nbd_proto::error::{InvalidMessage, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Extent};

use crate::client::harness::{BASE, BITMAP, Seen, Setup, fault};
use crate::client::server::{LAST, MORE};

const LENGTH: u64 = 4096;
const STATUS: Command = Command::block_status(8192, LENGTH);

fn setup() -> Setup {
    Setup { size: u64::MAX, ..Setup::new(ReplyStyle::Extended) }
}

#[test]
fn flags_of_64_bits_and_a_huge_last_extent_arrive_as_they_are() {
    let mut link = setup().link();
    let cookie = link.submit(STATUS);
    let extents = [(1, 1 << 32), (2, 1 << 63), (u64::MAX - 8195, u64::MAX)];
    link.feed(&link.status(cookie, MORE, BITMAP, &extents));
    link.feed(&link.status(cookie, LAST, BASE, &[(u64::from(u32::MAX) + 1, u64::from(u32::MAX))]));
    assert_eq!(link.error, None);
    let told = |context| {
        let seen = link.events.iter();
        let extents = seen.filter_map(|event| match event {
            Seen::Extents(_, of, extents) if *of == context => Some(extents.clone()),
            _ => None,
        });
        extents.flatten().map(|Extent { length, flags, .. }| (length, flags)).collect::<Vec<_>>()
    };
    assert_eq!(told(BITMAP), extents);
    assert_eq!(told(BASE), [(u64::from(u32::MAX) + 1, u64::from(u32::MAX))]);
    assert_eq!(link.events.last(), Some(&Seen::Done(cookie, Ok(()))));
}

#[test]
fn wide_flags_where_the_context_has_32_bits_end_the_session() {
    for flags in [1 << 32, 1 << 63, u64::MAX] {
        let error =
            fault(&setup(), &[STATUS], |link, cookies| link.status(cookies[0], LAST, BASE, &[(512, 0), (512, flags)]));
        assert_eq!(error, PeerMisbehaved::WideFlags { context: BASE, flags }.into());
    }
}

#[test]
fn extents_of_no_length_end_the_session() {
    for extents in [&[(0, 0)][..], &[(512, 0), (0, 1)], &[(0, u64::MAX), (512, 0)]] {
        let error = fault(&setup(), &[STATUS], |link, cookies| link.status(cookies[0], LAST, BITMAP, extents));
        assert_eq!(error, InvalidMessage::EmptyExtent { context: BITMAP }.into());
    }
}

#[test]
fn lengths_whose_sum_wraps_do_not_come_back_into_the_request() {
    for extents in [
        &[(LENGTH - 1, 0), (u64::MAX, 0), (LENGTH, 0)][..],
        &[(u64::MAX, 0), (1, 0), (LENGTH, 0)],
        &[(1 << 63, 0), (1 << 63, 0), (512, 0)],
    ] {
        let error = fault(&setup(), &[STATUS], |link, cookies| link.status(cookies[0], LAST, BITMAP, extents));
        assert_eq!(error, PeerMisbehaved::ExtentBehindRequest { asked_length: LENGTH }.into());
    }
}
