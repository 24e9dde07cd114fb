//! What is to be sent: looking changes nothing, any cut is fine, and answers come in the order in which they were
//! given.

use nbd_proto::transmission::{ReadPart, Segment};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::harness::{Link, each_style, each_way};
use crate::setup::{BASE, CHUNKED, OTHER, STYLES, Setup};

/// Answers of all kinds, in another order than the requests.
fn answered(link: &mut Link) {
    link.ask(1, CommandType::READ, 0, 20);
    link.ask(2, CommandType::FLUSH, 0, 0);
    link.ask(3, CommandType::READ, 100, 10);
    link.ask(4, CommandType(77), 0, 0);
    link.finish_read(2, &[ReadPart::Data(4), ReadPart::Hole(4), ReadPart::Data(2)]).unwrap();
    link.fail(1, ErrorValue::ENOSPC).unwrap();
    link.finish_read(0, &[ReadPart::Data(20)]).unwrap();
}

#[test]
fn looking_twice_shows_the_same() {
    each_style(|link| {
        answered(link);
        let first: Vec<Segment<'_, _>> = link.server.outbound().collect();
        let second: Vec<Segment<'_, _>> = link.server.outbound().collect();
        assert_eq!(first, second);
        let (least, most) = link.server.outbound().size_hint();
        assert!(least <= first.len() && first.len() <= most.unwrap());
    });
}

#[test]
fn a_short_write_at_every_byte_sends_the_same_stream() {
    for setup in STYLES.map(Setup::new) {
        each_way(&setup, |link| {
            answered(link);
            let whole = link.outbound();
            let mut bytewise = Vec::new();
            while link.server.wants_write() {
                bytewise.extend(link.send(1));
                assert_eq!(link.outbound(), whole[bytewise.len()..]);
            }
            assert_eq!(bytewise, whole);
        });
    }
}

#[test]
fn a_write_that_is_cut_once_anywhere_sends_the_same_stream() {
    for setup in STYLES.map(Setup::new) {
        each_way(&setup, |link| {
            answered(link);
            let whole = link.outbound();
            for at in 0..=whole.len() {
                let mut link = Link::new(&setup, crate::harness::WHOLE);
                answered(&mut link);
                assert_eq!([link.send(at), link.send(usize::MAX)].concat(), whole);
                assert_eq!(link.server.in_flight(), 0);
            }
        });
    }
}

#[test]
fn an_answer_given_later_comes_behind() {
    each_style(|link| {
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.ask(2, CommandType::FLUSH, 0, 0);
        link.finish(1).unwrap();
        let first = link.outbound();
        link.send(3);
        link.finish(0).unwrap();
        assert!(link.outbound().starts_with(&first[3..]));
        assert_eq!(link.outbound().len(), 2 * first.len() - 3);
    });
}

#[test]
fn more_sent_than_there_is_counts_as_all() {
    each_style(|link| {
        answered(link);
        link.server.sent(usize::MAX);
        link.server.sent(usize::MAX);
        link.poll();
        assert_eq!((link.server.in_flight(), link.server.wants_write()), (0, false));
        // What comes later is not taken for sent.
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.finish(3).unwrap();
        assert_eq!(link.answers(), [(1, 0)]);
    });
}

#[test]
fn the_buffer_is_asked_for_data_only() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            link.ask(1, CommandType::READ, 0, 30);
            link.finish_read(0, &[ReadPart::Hole(10), ReadPart::Data(5), ReadPart::Hole(15)]).unwrap();
            let payload =
                |segment| if let Segment::Payload { owner, range } = segment { Some((owner, range)) } else { None };
            let asked: Vec<_> = link.server.outbound().filter_map(payload).collect();
            assert_eq!(asked, [(link.id(0), 10..15)]);
        });
    }
}

#[test]
fn a_long_answer_between_others_does_not_disturb_them() {
    for style in CHUNKED {
        each_way(&Setup::new(style), |link| {
            let extents = vec![Descriptor { length: 1, flags: 5 }; 10_000];
            let mut whole = Vec::new();
            let mut sent = Vec::new();
            for turn in 0..12 {
                link.ask(turn, CommandType::BLOCK_STATUS, 0, 1 << 20);
                let before = link.outbound().len();
                link.finish_status(turn as usize, &[(BASE, &extents), (OTHER, &extents[..3])]).unwrap();
                whole.extend_from_slice(&link.outbound()[before..]);
                // More stays behind with each turn, so that sent framing has to make room for new.
                sent.extend(link.send(70_000));
            }
            sent.extend(link.send_all());
            assert!(sent == whole, "the stream was disturbed");
        });
    }
}
