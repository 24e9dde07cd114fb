//! Block status that may not stand: contexts, counts, extents.

use nbd_proto::error::{CommandError, Expected, InvalidMessage, Message, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::limits::MAX_EXTENTS;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::{Chunk, Width};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{ChunkType, ContextId};

use crate::harness::{BASE, BITMAP, CHUNKED, Link, Seen, Setup, fault, link};
use crate::server::{LAST, MORE, status_payload};

const OFFSET: u64 = 8192;
const LENGTH: u64 = 4096;
const STATUS: Command = Command::block_status(OFFSET, LENGTH);

fn one() -> Command {
    STATUS.with_flags(CommandFlags::REQ_ONE)
}

fn kind(link: &Link) -> ChunkType {
    if link.width() == Width::Bits64 { ChunkType::BLOCK_STATUS_EXT } else { ChunkType::BLOCK_STATUS }
}

#[test]
fn a_context_that_was_never_selected_is_fatal() {
    for style in CHUNKED {
        for context in [0, 1, 8, u32::MAX].map(ContextId) {
            let error = fault(&Setup::new(style), &[STATUS], |link, cookies| {
                link.status(cookies[0], LAST, context, &[(LENGTH, 0)])
            });
            assert_eq!(error, PeerMisbehaved::ContextNotAsked { context }.into());
        }
    }
}

#[test]
fn a_context_that_this_request_did_not_ask_for_is_fatal() {
    let mut link = link(ReplyStyle::Extended);
    let cookie = link.client.submit_for_contexts(STATUS, &[BITMAP]).unwrap();
    link.register(cookie, STATUS);
    link.send(usize::MAX);
    link.feed(&link.status(cookie, LAST, BASE, &[(LENGTH, 0)]));
    assert_eq!(link.assert_over(), PeerMisbehaved::ContextNotAsked { context: BASE }.into());
}

#[test]
fn a_context_that_answers_twice_is_fatal() {
    for style in CHUNKED {
        let error = fault(&Setup::new(style), &[STATUS], |link, cookies| {
            let [first, between, again] = [(BASE, MORE), (BITMAP, MORE), (BASE, LAST)]
                .map(|(context, flags)| link.status(cookies[0], flags, context, &[(512, 0)]));
            [first, between, again].concat()
        });
        assert_eq!(error, PeerMisbehaved::ContextTwice { context: BASE }.into());
    }
}

#[test]
fn a_context_that_is_missing_fails_the_command_and_not_the_link() {
    for style in CHUNKED {
        for chunks in 0..2 {
            let mut link = link(style);
            let cookie = link.submit(STATUS);
            for context in [BASE, BITMAP].iter().take(chunks) {
                link.feed(&link.status(cookie, MORE, *context, &[(512, 0)]));
            }
            link.seen();
            link.feed(&link.chunk(cookie, LAST, &Chunk::None));
            let missing = CommandError::ContextsMissing { answered: chunks, asked: 2 };
            assert_eq!(link.seen(), [Seen::Done(cookie, Err(missing))]);
            assert_eq!(link.error, None);
        }
    }
}

#[test]
fn a_single_extent_that_was_asked_for_is_all_that_may_come() {
    for style in CHUNKED {
        let two = [(512, 0), (512, 1)];
        let error = fault(&Setup::new(style), &[one()], |link, cookies| link.status(cookies[0], LAST, BASE, &two));
        assert_eq!(error, PeerMisbehaved::MoreThanOneExtent.into());
    }
}

#[test]
fn a_single_extent_may_not_exceed_the_request() {
    for style in CHUNKED {
        for length in [LENGTH + 1, u64::from(u32::MAX)] {
            let error = fault(&Setup::new(style), &[one()], |link, cookies| {
                link.status(cookies[0], LAST, BASE, &[(length, 0)])
            });
            assert_eq!(error, PeerMisbehaved::MoreThanOneExtent.into());
        }
    }
}

#[test]
fn an_extent_of_no_bytes_is_fatal() {
    for style in CHUNKED {
        for extents in [&[(0, 0)][..], &[(512, 0), (0, 1), (512, 0)]] {
            let error =
                fault(&Setup::new(style), &[STATUS], |link, cookies| link.status(cookies[0], LAST, BASE, extents));
            assert_eq!(error, InvalidMessage::EmptyExtent { context: BASE }.into());
        }
    }
}

#[test]
fn the_sound_extents_before_a_fault_were_told() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(STATUS);
        link.feed(&link.status(cookie, LAST, BASE, &[(512, 3), (0, 1), (512, 0)]));
        let events = link.seen();
        assert!(matches!(&events[0], Seen::Extents(_, BASE, extents) if extents.len() == 1), "{events:?}");
    }
}

#[test]
fn no_extent_may_begin_behind_the_request() {
    for style in CHUNKED {
        for extents in [&[(LENGTH, 0), (1, 0)][..], &[(1, 0), (1 << 31, 0), (1, 0)], &[(4095, 0), (1, 0), (1, 0)]] {
            let error =
                fault(&Setup::new(style), &[STATUS], |link, cookies| link.status(cookies[0], LAST, BASE, extents));
            assert_eq!(error, PeerMisbehaved::ExtentBehindRequest { asked_length: LENGTH }.into());
        }
    }
}

#[test]
fn extents_whose_sum_overflows_do_not_wrap_around() {
    let setup = Setup::new(ReplyStyle::Extended);
    let extents = [(LENGTH - 1, 0), (u64::MAX, 0), (LENGTH, 0)];
    let error = fault(&setup, &[STATUS], |link, cookies| link.status(cookies[0], LAST, BASE, &extents));
    assert_eq!(error, PeerMisbehaved::ExtentBehindRequest { asked_length: LENGTH }.into());
}

#[test]
fn a_base_context_has_no_wide_flags() {
    let setup = Setup::new(ReplyStyle::Extended);
    for flags in [1 << 32, u64::MAX] {
        let error =
            fault(&setup, &[STATUS], |link, cookies| link.status(cookies[0], LAST, BASE, &[(512, 0), (512, flags)]));
        assert_eq!(error, PeerMisbehaved::WideFlags { context: BASE, flags }.into());
    }
    // Others may have them.
    let mut link = link(ReplyStyle::Extended);
    let cookie = link.submit(STATUS);
    link.feed(&link.status(cookie, MORE, BITMAP, &[(512, u64::MAX)]));
    assert_eq!(link.error, None);
}

#[test]
fn the_payload_is_a_whole_number_of_descriptors() {
    for style in CHUNKED {
        let (base, of) = if style == ReplyStyle::Extended { (8, 16) } else { (4, 8) };
        for got in [0, 1, base - 1, base, base + 1, base + of - 1, base + of + 1, base + 3 * of / 2] {
            let error =
                fault(&Setup::new(style), &[STATUS], |link, cookies| link.header(cookies[0], LAST, kind(link), got));
            let expected = Expected::PositiveMultiple { base, of };
            assert_eq!(error, InvalidMessage::Length { message: Message::BlockStatus, expected, got }.into());
        }
    }
}

#[test]
fn the_number_of_extents_is_bounded() {
    for style in CHUNKED {
        let (base, of) = if style == ReplyStyle::Extended { (8, 16) } else { (4, 8) };
        let most = base + of * u64::from(MAX_EXTENTS);
        for got in [most + of, u64::from(u32::MAX) / 16 * 16 - of + base] {
            let error =
                fault(&Setup::new(style), &[STATUS], |link, cookies| link.header(cookies[0], LAST, kind(link), got));
            let expected = Expected::Between(base + of, most);
            assert_eq!(error, InvalidMessage::Length { message: Message::BlockStatus, expected, got }.into());
        }
        // As many as the specification allows are taken.
        let mut setup = Setup::new(style);
        setup.size = 1 << 40;
        setup.contexts.truncate(1);
        let mut link = setup.link();
        let cookie = link.submit(Command::block_status(0, u64::from(u32::MAX)));
        link.feed(&link.status(cookie, LAST, BASE, &vec![(512, 0); MAX_EXTENTS as usize]));
        let events = link.seen();
        assert!(matches!(&events[0], Seen::Extents(_, _, extents) if extents.len() == MAX_EXTENTS as usize));
        assert_eq!(events[1..], [Seen::Done(cookie, Ok(()))]);
    }
}

#[test]
fn the_count_of_descriptors_has_to_be_true() {
    for told in [0, 1, 3, u32::MAX] {
        let error = fault(&Setup::new(ReplyStyle::Extended), &[STATUS], |link, cookies| {
            let mut payload = status_payload(Width::Bits64, BASE, &[(512, 0), (512, 1)]);
            payload[4..8].copy_from_slice(&told.to_be_bytes());
            link.raw(cookies[0], LAST, ChunkType::BLOCK_STATUS_EXT, &payload)
        });
        assert_eq!(error, InvalidMessage::DescriptorCount { told, count: 2 }.into());
    }
}
