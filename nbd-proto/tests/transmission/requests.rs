//! What goes out: the octets of every command, and how they can be taken off in pieces.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Checks, Command, Segment};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;
use nbd_proto::wire::request::CompactRequest;

use crate::harness::{BASE, BITMAP, STYLES, Setup, link, patterns};
use crate::server::{OK, simple};

/// `25609513 0000 0001 COOKIE …`: hexadecimal digits, blanks ignored, `COOKIE` replaced.
fn octets(text: &str, cookie: u64) -> Vec<u8> {
    let text = text.replace("COOKIE", &format!("{cookie:016x}"));
    let digits: Vec<u8> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[track_caller]
fn assert_sent(style: ReplyStyle, command: Command, expected: &str) {
    let mut link = link(style);
    let cookie = link.queue(command);
    let mut expected = octets(expected, cookie.0);
    if command.command == CommandType::WRITE {
        expected.extend(patterns(command.offset..command.offset + command.length));
    }
    assert_eq!(link.outbound(), expected);
}

/// Every command with every flag it may have, offset and length in what is left of the header.
fn commands() -> Vec<(Command, &'static str)> {
    let (fua, no_hole, fast) = (CommandFlags::FUA, CommandFlags::NO_HOLE, CommandFlags::FAST_ZERO);
    vec![
        (Command::read(0x1234, 0x200), "0000 0000"),
        (Command::read(0x1234, 0x200).with_flags(CommandFlags::DF), "0004 0000"),
        (Command::flush(), "0000 0003"),
        (Command::trim(0x1234, 0x200), "0000 0004"),
        (Command::trim(0x1234, 0x200).with_flags(fua), "0001 0004"),
        (Command::cache(0x1234, 0x200), "0000 0005"),
        (Command::write_zeroes(0x1234, 0x200), "0000 0006"),
        (Command::write_zeroes(0x1234, 0x200).with_flags(fua), "0001 0006"),
        (Command::write_zeroes(0x1234, 0x200).with_flags(no_hole), "0002 0006"),
        (Command::write_zeroes(0x1234, 0x200).with_flags(fast), "0010 0006"),
        (Command::write_zeroes(0x1234, 0x200).with_flags(fua | no_hole | fast), "0013 0006"),
    ]
}

// T1
#[test]
fn compact_requests() {
    for style in [ReplyStyle::Simple, ReplyStyle::Structured] {
        for (command, middle) in commands() {
            let range = if command.length == 0 { "0000000000000000 00000000" } else { "0000000000001234 00000200" };
            assert_sent(style, command, &format!("25609513 {middle} COOKIE {range}"));
        }
        let write = Command::write(0x1234, 0x200);
        assert_sent(style, write, "25609513 0000 0001 COOKIE 0000000000001234 00000200");
        let fua = write.with_flags(CommandFlags::FUA);
        assert_sent(style, fua, "25609513 0001 0001 COOKIE 0000000000001234 00000200");
    }
    let status = Command::block_status(0x1234, 0x200);
    assert_sent(ReplyStyle::Structured, status, "25609513 0000 0007 COOKIE 0000000000001234 00000200");
    let one = status.with_flags(CommandFlags::REQ_ONE);
    assert_sent(ReplyStyle::Structured, one, "25609513 0008 0007 COOKIE 0000000000001234 00000200");
}

// T1
#[test]
fn extended_requests() {
    let style = ReplyStyle::Extended;
    for (command, middle) in commands() {
        let length = if command.length == 0 { "0000000000000000 " } else { "0000000000001234 " };
        let range = format!("{length} {:016x}", command.length);
        assert_sent(style, command, &format!("21e41c71 {middle} COOKIE {range}"));
    }
    // A write always says that its length is that of a payload.
    let write = Command::write(0x1234, 0x200);
    assert_sent(style, write, "21e41c71 0020 0001 COOKIE 0000000000001234 0000000000000200");
    let fua = write.with_flags(CommandFlags::FUA);
    assert_sent(style, fua, "21e41c71 0021 0001 COOKIE 0000000000001234 0000000000000200");
    let status = Command::block_status(0x1234, 0x200);
    assert_sent(style, status, "21e41c71 0000 0007 COOKIE 0000000000001234 0000000000000200");
    let one = status.with_flags(CommandFlags::REQ_ONE);
    assert_sent(style, one, "21e41c71 0008 0007 COOKIE 0000000000001234 0000000000000200");
}

// T1
#[test]
fn an_extended_range_takes_64_bits() {
    let mut setup = Setup::new(ReplyStyle::Extended);
    setup.size = u64::MAX;
    let mut link = setup.link();
    let cookie = link.queue(Command::trim(0x0123_4567_89ab_cdef, 0x7edc_ba98_7654_3210));
    let expected = octets("21e41c71 0000 0004 COOKIE 0123456789abcdef 7edcba9876543210", cookie.0);
    assert_eq!(link.outbound(), expected);
}

#[test]
fn a_block_status_for_some_contexts_carries_them() {
    let mut link = link(ReplyStyle::Extended);
    for (flags, middle) in [(CommandFlags::empty(), "0020 0007"), (CommandFlags::REQ_ONE, "0028 0007")] {
        let command = Command::block_status(0x1234, 0x200).with_flags(flags);
        let cookie = link.client.submit_for_contexts(command, &[BITMAP, BASE]).unwrap();
        let header = format!("21e41c71 {middle} COOKIE 0000000000001234 0000000000000010");
        let expected = octets(&format!("{header} 0000000000000200 fffffff0 00000007"), cookie.0);
        assert_eq!(link.outbound(), expected);
        link.register(cookie, command);
        link.send(usize::MAX);
    }
}

#[test]
fn a_disconnect_is_a_request_of_zeroes() {
    for style in STYLES {
        let mut link = link(style);
        link.client.disconnect().unwrap();
        let expected = match style {
            ReplyStyle::Extended => format!("21e41c71 0000 0002 {:048x}", 0),
            _ => format!("25609513 0000 0002 {:040x}", 0),
        };
        assert_eq!(link.outbound(), octets(&expected, 0));
    }
}

#[test]
fn payload_is_named_and_not_held() {
    let mut link = link(ReplyStyle::Simple);
    let first = link.queue(Command::write(0, 512));
    let second = link.queue(Command::write(512, 1024));
    link.queue(Command::read(0, 16));
    let segments: Vec<_> = link.client.outbound().collect();
    assert!(matches!(segments[0], Segment::Framing(bytes) if bytes.len() == 28));
    assert_eq!(segments[1], Segment::Payload { owner: first, range: 0..512 });
    assert!(matches!(segments[2], Segment::Framing(bytes) if bytes.len() == 28));
    assert_eq!(segments[3], Segment::Payload { owner: second, range: 0..1024 });
    assert!(matches!(segments[4], Segment::Framing(bytes) if bytes.len() == 28));
    assert_eq!(segments.len(), 5);
    let (least, most) = link.client.outbound().size_hint();
    assert!((1..=5).contains(&least) && (5..10).contains(&most.unwrap()));
    assert_eq!(link.client.outbound().collect::<Vec<_>>(), segments, "looking changes nothing");
}

#[test]
fn a_short_write_goes_on_where_it_stopped() {
    for size in [1, 3, 27, 28, 29, 100, 540, 1000] {
        for style in STYLES {
            let mut link = link(style);
            let commands = [Command::write(3, 512), Command::flush(), Command::read(0, 4), Command::write(9, 1)];
            for command in commands {
                link.queue(command);
            }
            let whole = link.outbound();
            while link.client.wants_write() {
                let rest = link.outbound();
                assert_eq!(rest, whole[link.sent.len()..]);
                assert_eq!(link.send(size), size.min(rest.len()));
            }
            assert_eq!(link.sent, whole);
            assert_eq!(link.client.outbound().count(), 0);
        }
    }
}

#[test]
fn commands_that_come_between_short_writes_go_behind() {
    let mut link = link(ReplyStyle::Structured);
    let mut lengths = 0;
    for round in 0..500 {
        let cookie = link.queue(Command::write(round, 1 + round));
        lengths += 28 + 1 + round as usize;
        link.send(200);
        // The answer may come before the request has gone out.
        link.feed(&simple(cookie, OK));
        if link.client.room() == 0 {
            link.send(usize::MAX);
        }
    }
    link.send(usize::MAX);
    assert_eq!(link.sent.len(), lengths);
    let mut rest = &link.sent[..];
    for round in 0..500u64 {
        let (request, length) = CompactRequest::parse(rest).unwrap().unwrap();
        assert_eq!((request.offset, u64::from(request.length)), (round, 1 + round));
        let data = &rest[length..length + request.length as usize];
        assert_eq!(data, patterns(round..round + 1 + round));
        rest = &rest[length + data.len()..];
    }
}

#[test]
fn a_queue_that_is_never_empty_gives_up_what_was_sent() {
    let mut link = link(ReplyStyle::Structured);
    let mut expected = Vec::new();
    let mut waiting = link.queue(Command::flush());
    for _ in 0..10_000 {
        let before = link.outbound();
        let next = link.queue(Command::trim(0x1234, 0x200));
        let outbound = link.outbound();
        assert_eq!(outbound[..before.len()], before);
        expected.extend_from_slice(&outbound[before.len()..]);
        // All but the last 5 bytes: there is always something left.
        link.feed(&simple(waiting, OK));
        link.send(outbound.len() - 5);
        waiting = next;
    }
    link.send(usize::MAX);
    assert_eq!(link.sent[28..], expected);
}

#[test]
fn a_write_of_nothing_has_no_payload() {
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_checks(!Checks::EMPTY);
        let mut link = setup.link();
        link.queue(Command::write(0, 0));
        assert_eq!(link.client.outbound().count(), 1);
    }
}

/// A stray flag of payload would make the server swallow the next requests.
#[test]
fn the_payload_flag_is_never_sent_without_a_payload() {
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_checks(!Checks::FLAGS);
        for command in [Command::read(0, 16), Command::trim(0, 16), Command::block_status(0, 16), Command::flush()] {
            let mut link = setup.link();
            if command.command == CommandType::BLOCK_STATUS && style == ReplyStyle::Simple {
                continue;
            }
            let all = link.queue(command.with_flags(CommandFlags::all()));
            let sent = link.outbound();
            assert_eq!(sent[4..6], 0xffdfu16.to_be_bytes(), "{command:?} {all}");
        }
    }
}

#[test]
fn cookies_in_flight_have_slots_of_their_own_below_the_limit() {
    for style in STYLES {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_max_in_flight(5);
        let mut link = setup.link();
        let mut slots: Vec<_> = (0..5).map(|_| link.submit(Command::flush()).slot()).collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3, 4]);
    }
}
