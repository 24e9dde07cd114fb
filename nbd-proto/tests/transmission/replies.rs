//! Good answers to every command, in every style.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Checks, Command, Extent};
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{Cookie, ErrorValue};

use crate::harness::{BASE, BITMAP, CHUNKED, Link, STYLES, Seen, Setup, link, patterns};
use crate::server::{LAST, MORE, OK, data, failed, hole, simple};

/// Success without content.
fn success(link: &Link, cookie: Cookie) -> Vec<u8> {
    match link.style {
        ReplyStyle::Simple => simple(cookie, OK),
        _ => link.chunk(cookie, LAST, &Chunk::None),
    }
}

const PLAIN: [Command; 5] = [
    Command::write(0, 512),
    Command::flush(),
    Command::trim(0, 512),
    Command::cache(0, 512),
    Command::write_zeroes(0, 512),
];

#[test]
fn commands_without_content_succeed_in_any_order() {
    for style in STYLES {
        for rotation in 0..PLAIN.len() {
            let mut link = link(style);
            let mut cookies = PLAIN.map(|command| link.submit(command));
            cookies.rotate_left(rotation);
            cookies[1..].reverse();
            let replies: Vec<u8> = cookies.iter().flat_map(|cookie| success(&link, *cookie)).collect();
            link.feed(&replies);
            assert_eq!(link.seen(), cookies.map(|cookie| Seen::Done(cookie, Ok(()))));
            assert_eq!(link.client.in_flight(), 0);
        }
    }
}

#[test]
fn simple_replies_may_stand_among_structured_ones() {
    for command in PLAIN {
        for (value, succeeds) in [(OK, true), (ErrorValue::EIO, false)] {
            let mut link = link(ReplyStyle::Structured);
            let cookie = link.submit(command);
            link.feed(&simple(cookie, value));
            let events = link.seen();
            assert!(matches!(&events[..], [Seen::Done(of, result)] if (*of, result.is_ok()) == (cookie, succeeds)));
        }
    }
    // A block status that fails has no content either.
    let mut link = link(ReplyStyle::Structured);
    let cookie = link.submit(Command::block_status(0, 512));
    link.feed(&simple(cookie, ErrorValue::EIO));
    assert!(matches!(&link.seen()[..], [Seen::Done(_, Err(_))]));
    assert_eq!(link.error, None);
}

#[test]
fn a_simple_read_is_data_behind_its_header() {
    let mut link = link(ReplyStyle::Simple);
    let [first, second] = [Command::read(512, 512), Command::read(7, 9)].map(|command| link.submit(command));
    link.feed(&[simple(second, OK), patterns(7..16), simple(first, OK), patterns(512..1024)].concat());
    let expected =
        [Seen::Data(second, 0..9), Seen::Done(second, Ok(())), Seen::Data(first, 0..512), Seen::Done(first, Ok(()))];
    assert_eq!(link.seen(), expected);
    assert_eq!((&link.buffers[&first], &link.buffers[&second]), (&patterns(512..1024), &patterns(7..16)));
}

#[test]
fn a_simple_read_at_the_end_of_all_numbers_is_whole() {
    let mut setup = Setup::new(ReplyStyle::Simple);
    setup.settings = setup.settings.with_checks(Checks::all() - Checks::BOUNDS);
    for offset in [u64::MAX - 1, u64::MAX] {
        let mut link = setup.link();
        let cookie = link.queue(Command::read(offset, 512));
        link.send(usize::MAX);
        link.feed(&[simple(cookie, OK), vec![7; 512]].concat());
        assert_eq!(link.seen(), [Seen::Data(cookie, 0..512), Seen::Done(cookie, Ok(()))]);
    }
}

#[test]
fn a_simple_read_that_fails_has_no_data() {
    let mut link = link(ReplyStyle::Simple);
    let [first, second] = [Command::read(0, 512), Command::flush()].map(|command| link.submit(command));
    link.feed(&[simple(first, ErrorValue::EIO), simple(second, OK)].concat());
    assert!(matches!(&link.seen()[..], [Seen::Done(_, Err(_)), Seen::Done(_, Ok(()))]));
}

#[test]
fn a_read_in_chunks_in_any_order() {
    for style in CHUNKED {
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
        for order in orders {
            for with_none in [true, false] {
                let mut link = link(style);
                let cookie = link.submit(Command::read(4096, 1024));
                let whole = patterns(4096..4096 + 1024);
                let pieces = [
                    data(4096, &whole[..100]),
                    data(4196, &whole[100..101]),
                    hole(4197, 411),
                    data(4608, &whole[512..]),
                ];
                for (nth, which) in order.into_iter().enumerate() {
                    let last = if nth == 3 && !with_none { LAST } else { MORE };
                    link.feed(&link.chunk(cookie, last, &pieces[which]));
                }
                if with_none {
                    link.feed(&link.chunk(cookie, LAST, &Chunk::None));
                }
                assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Ok(()))));
                let mut expected = whole;
                expected[101..512].fill(0);
                assert_eq!(link.buffers[&cookie], expected);
            }
        }
    }
}

#[test]
fn chunks_of_several_commands_interleave() {
    for style in CHUNKED {
        let mut link = link(style);
        let reads = [Command::read(0, 64), Command::read(32, 64), Command::read(0, 64)];
        let cookies = reads.map(|command| link.submit(command));
        let status = link.submit(Command::block_status(0, 64));
        let flush = link.submit(Command::flush());
        for half in [0..32, 32..64] {
            let flags = if half.start == 0 { MORE } else { LAST };
            for (cookie, read) in cookies.into_iter().zip(reads) {
                let range = read.offset + half.start..read.offset + half.end;
                link.feed(&link.chunk(cookie, flags, &data(range.start, &patterns(range.clone()))));
            }
            let context = if half.start == 0 { BITMAP } else { BASE };
            link.feed(&link.status(status, flags, context, &[(64, 0)]));
            if half.start == 0 {
                link.feed(&success(&link, flush));
            }
        }
        let ended: Vec<_> = link.seen().into_iter().filter(|event| matches!(event, Seen::Done(..))).collect();
        let order = [flush, cookies[0], cookies[1], cookies[2], status];
        assert_eq!(ended, order.map(|cookie| Seen::Done(cookie, Ok(()))));
        for (cookie, read) in cookies.into_iter().zip(reads) {
            assert_eq!(link.buffers[&cookie], patterns(read.offset..read.offset + 64));
        }
    }
}

#[test]
fn an_unfragmented_read_in_one_chunk() {
    for style in CHUNKED {
        for content in [data(0, &[7; 512]), hole(0, 512)] {
            let mut link = link(style);
            let cookie = link.submit(Command::read(0, 512).with_flags(CommandFlags::DF));
            link.feed(&link.chunk(cookie, MORE, &content));
            link.feed(&link.chunk(cookie, LAST, &Chunk::None));
            assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Ok(()))));
        }
    }
}

#[test]
fn contexts_answer_in_any_order() {
    for style in CHUNKED {
        for contexts in [[BASE, BITMAP], [BITMAP, BASE]] {
            let mut link = link(style);
            let cookie = link.submit(Command::block_status(0, 1024));
            link.feed(&link.status(cookie, MORE, contexts[0], &[(512, 3), (512, 0)]));
            link.feed(&link.status(cookie, LAST, contexts[1], &[(1024, 1)]));
            let halves =
                vec![Extent { offset: 0, length: 512, flags: 3 }, Extent { offset: 512, length: 512, flags: 0 }];
            let whole = vec![Extent { offset: 0, length: 1024, flags: 1 }];
            let expected = [
                Seen::Extents(cookie, contexts[0], halves),
                Seen::Extents(cookie, contexts[1], whole),
                Seen::Done(cookie, Ok(())),
            ];
            assert_eq!(link.seen(), expected);
        }
    }
}

#[test]
fn a_block_status_for_one_context_needs_that_one_only() {
    let mut link = link(ReplyStyle::Extended);
    let command = Command::block_status(0, 1024);
    let cookie = link.client.submit_for_contexts(command, &[BITMAP]).unwrap();
    link.register(cookie, command);
    link.send(usize::MAX);
    link.feed(&link.status(cookie, LAST, BITMAP, &[(1024, 1)]));
    assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Ok(()))));
    // The next one in that slot is about all contexts again.
    let cookie = link.submit(command);
    link.feed(&link.status(cookie, MORE, BASE, &[(1024, 0)]));
    link.feed(&link.status(cookie, LAST, BITMAP, &[(1024, 1)]));
    assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Ok(()))));
}

#[test]
fn wide_extents_and_flags_come_through() {
    let mut setup = Setup::new(ReplyStyle::Extended);
    setup.size = 1 << 60;
    let mut link = setup.link();
    let cookie = link.submit(Command::block_status(1 << 40, 1 << 50));
    link.feed(&link.status(cookie, MORE, BITMAP, &[(1 << 45, u64::MAX), (1 << 59, 1 << 63)]));
    let extents = vec![
        Extent { offset: 1 << 40, length: 1 << 45, flags: u64::MAX },
        Extent { offset: (1 << 40) + (1 << 45), length: 1 << 59, flags: 1 << 63 },
    ];
    assert_eq!(link.seen(), [Seen::Extents(cookie, BITMAP, extents)]);
}

#[test]
fn nothing_of_a_command_is_left_for_the_next_one_in_its_slot() {
    let unfragmented = Command::read(0, 64).with_flags(CommandFlags::DF);
    for style in CHUNKED {
        let mut link = link(style);
        let mut slots = Vec::new();
        for round in 0..3 {
            let read = link.submit(unfragmented);
            link.feed(&link.chunk(read, LAST, &data(0, &patterns(0..64))));
            // A read that was fragmented, and left in pieces.
            let gaps = link.submit(Command::read(0, 64));
            link.feed(&link.chunk(gaps, MORE, &hole(0, 1)));
            link.feed(&link.chunk(gaps, MORE, &failed(ErrorValue::EIO, b"")));
            link.feed(&link.chunk(gaps, LAST, &hole(60, 4)));
            assert_eq!(link.seen().last().map(|event| matches!(event, Seen::Done(_, Err(_)))), Some(true));
            let status = link.submit(Command::block_status(0, 64));
            link.feed(&link.status(status, MORE, BITMAP, &[(64, 0)]));
            link.feed(&link.status(status, LAST, BASE, &[(64, 0)]));
            assert_eq!(link.seen().last(), Some(&Seen::Done(status, Ok(()))), "{style} round {round}");
            // A simple reply is fine, because no chunk of this one has come.
            let flush = link.submit(Command::flush());
            let reply = match style {
                ReplyStyle::Structured => simple(flush, OK),
                _ => success(&link, flush),
            };
            link.feed(&reply);
            assert_eq!(link.seen(), [Seen::Done(flush, Ok(()))]);
            slots.extend([read, gaps, status, flush].map(|cookie| cookie.0 as u32));
        }
        slots.dedup();
        assert_eq!(slots.len(), 1, "one slot served them all");
    }
}

#[test]
fn a_read_of_nothing_ends_by_its_header() {
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_checks(!Checks::EMPTY);
        let mut link = setup.link();
        let cookie = link.submit(Command::read(5, 0));
        link.feed(&success(&link, cookie));
        assert_eq!(link.client.landing(), None);
        assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
    }
}
