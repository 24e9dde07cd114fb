//! Answers that do not fit the request are refused, and change nothing: the right one can still be given.

use nbd_proto::error::Refused;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::ReadPart::{Data, Hole};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::{chunks, request};
use crate::harness::{Link, each_style, each_way};
use crate::setup::{BASE, CHUNKED, OTHER, Setup};

const EXTENT: [Descriptor; 1] = [Descriptor { length: 512, flags: 0 }];

#[track_caller]
fn refused(link: &Link, result: &Result<(), Refused>) {
    assert!(matches!(result, Err(Refused::Answer { .. })), "{result:?}");
    assert!(!link.server.wants_write());
}

#[test]
fn a_read_needs_content() {
    each_style(|link| {
        link.ask(7, CommandType::READ, 0, 512);
        let results = [link.finish(0), link.finish_status(0, &[(BASE, &EXTENT)]), link.finish_status(0, &[])];
        for result in &results {
            refused(link, result);
        }
        let consent = link.server.receive(link.id(0));
        refused(link, &consent);
        link.finish_read(0, &[Data(512)]).unwrap();
    });
}

#[test]
fn the_parts_of_a_read_cover_it_and_none_is_empty() {
    each_style(|link| {
        link.ask(7, CommandType::READ, 0, 512);
        for parts in [
            &[][..],
            &[Data(511)],
            &[Data(513)],
            &[Data(256), Hole(257)],
            &[Data(0), Data(512)],
            &[Data(512), Hole(0)],
            &[Data(u64::MAX), Data(513)],
            &[Hole(512), Hole(512)],
        ] {
            let result = link.finish_read(0, parts);
            refused(link, &result);
        }
        link.finish_read(0, &[Data(512)]).unwrap();
    });
}

#[test]
fn what_has_no_content_gets_none() {
    each_style(|link| {
        let commands =
            [CommandType::WRITE, CommandType::FLUSH, CommandType::TRIM, CommandType::CACHE, CommandType::WRITE_ZEROES];
        for (number, command) in commands.into_iter().enumerate() {
            link.ask(7, command, 0, if command == CommandType::FLUSH { 0 } else { 512 });
            let results = [
                link.finish_read(number, &[Data(512)]),
                link.finish_read(number, &[]),
                link.finish_status(number, &[(BASE, &EXTENT)]),
                link.finish_status(number, &[]),
            ];
            for result in &results {
                refused(link, result);
            }
            link.finish(number).unwrap();
            link.send_all();
        }
    });
}

#[test]
fn a_write_is_not_finished_before_its_payload_is_there() {
    each_style(|link| {
        link.consents = false;
        link.feed(&request(link.style, 7, CommandType::WRITE, CommandFlags::empty(), 0, 2));
        let result = link.finish(0);
        refused(link, &result);
        link.server.receive(link.id(0)).unwrap();
        let twice = link.server.receive(link.id(0));
        refused(link, &twice);
        link.feed(b"x");
        let result = link.finish(0);
        refused(link, &result);
        link.feed(b"x");
        let late = link.server.receive(link.id(0));
        refused(link, &late);
        link.finish(0).unwrap();
    });
}

// Else a driver would come to write what it has not been told of.
#[test]
fn nor_before_the_caller_knows_that_it_is() {
    each_style(|link| {
        link.feed(&request(link.style, 7, CommandType::WRITE, CommandFlags::empty(), 0, 2));
        link.server.landed(2);
        let result = link.finish(0);
        refused(link, &result);
        link.poll();
        link.finish(0).unwrap();
    });
}

#[test]
fn each_context_of_a_block_status_answers_once() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask(7, CommandType::BLOCK_STATUS, 0, 512);
            let results = [
                link.finish(0),
                link.finish_read(0, &[Data(512)]),
                link.finish_status(0, &[]),
                link.finish_status(0, &[(BASE, &EXTENT)]),
                link.finish_status(0, &[(BASE, &EXTENT), (BASE, &EXTENT)]),
                link.finish_status(0, &[(BASE, &EXTENT), (2, &EXTENT)]),
                link.finish_status(0, &[(BASE, &EXTENT), (OTHER, &EXTENT), (BASE, &EXTENT)]),
                link.finish_status(0, &[(BASE, &EXTENT), (OTHER, &EXTENT), (2, &EXTENT)]),
            ];
            for result in &results {
                refused(link, result);
            }
            link.finish_status(0, &[(OTHER, &EXTENT), (BASE, &EXTENT)]).unwrap();
            assert_eq!(chunks(&link.send_all()).len(), 2);
        });
    }
}

#[test]
fn each_context_has_an_extent_and_the_first_is_not_empty() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask(7, CommandType::BLOCK_STATUS, 0, 512);
            let empty = [Descriptor { length: 0, flags: 0 }, EXTENT[0]];
            for wrong in [&[][..], &empty] {
                let result = link.finish_status(0, &[(BASE, &EXTENT), (OTHER, wrong)]);
                refused(link, &result);
            }
            link.finish_status(0, &[(BASE, &EXTENT), (OTHER, &EXTENT)]).unwrap();
        });
    }
}

#[test]
fn flags_of_64_bits_need_extended_headers() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask(7, CommandType::BLOCK_STATUS, 0, 512);
            let wide = [EXTENT[0], Descriptor { length: 512, flags: 1 << 32 }];
            let result = link.finish_status(0, &[(BASE, &EXTENT), (OTHER, &wide)]);
            if style == ReplyStyle::Extended {
                result.unwrap();
            } else {
                refused(link, &result);
                let most = [Descriptor { length: 512, flags: u64::from(u32::MAX) }];
                link.finish_status(0, &[(BASE, &EXTENT), (OTHER, &most)]).unwrap();
            }
        });
    }
}

#[test]
fn nothing_is_answered_twice() {
    each_style(|link| {
        link.ask(7, CommandType::FLUSH, 0, 0);
        link.ask(8, CommandType::READ, 0, 4);
        link.finish(0).unwrap();
        link.fail(1, ErrorValue::EIO).unwrap();
        let before = link.outbound();
        for result in [link.finish(0), link.fail(0, ErrorValue::EIO), link.finish_read(1, &[Data(4)])] {
            assert!(matches!(result, Err(Refused::Answer { .. })), "{result:?}");
        }
        // Nor while the answer is half sent.
        link.server.sent(5);
        assert!(link.finish(0).is_err() && link.finish_read(1, &[Data(4)]).is_err());
        assert_eq!(link.outbound(), before[5..]);
    });
}
