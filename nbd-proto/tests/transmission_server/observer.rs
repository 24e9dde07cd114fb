//! Every request and every reply can be observed, those included that the caller never hears of.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::observe::Observation;
use nbd_proto::transmission::ReadPart;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::{filtered_status, request};
use crate::harness::{Link, each_style, each_way};
use crate::setup::{BASE, OTHER, Setup};

fn observe(link: &mut Link) -> Receiver<String> {
    let (sender, receiver) = channel();
    link.server.set_observer(Some(Box::new(move |what: &Observation<'_>| {
        sender.send(format!("{what:?}")).unwrap();
    })));
    receiver
}

#[track_caller]
fn assert_observed(seen: &Receiver<String>, expected: &[&[&str]]) {
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
    for (text, parts) in seen.iter().zip(expected) {
        for part in *parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

#[test]
fn a_request_is_shown_when_its_header_is_there_and_a_reply_when_it_is_queued() {
    each_style(|link| {
        let seen = observe(link);
        let flags = CommandFlags::FUA;
        link.feed(&request(link.style, 7, CommandType::WRITE, flags, 512, 4));
        assert_observed(&seen, &[&["Request", "NBD_CMD_WRITE", "FUA", "Cookie(0x7)", "offset: 512", "length: 4"]]);
        link.feed(b"data");
        assert_observed(&seen, &[]);
        link.finish(0).unwrap();
        assert_observed(&seen, &[&["Reply", "NBD_CMD_WRITE", "Cookie(0x7)"]]);
        link.send_all();
        assert_observed(&seen, &[]);
    });
}

#[test]
fn each_chunk_of_a_reply_is_shown() {
    each_way(&Setup::new(ReplyStyle::Extended), |link| {
        let seen = observe(link);
        link.ask(7, CommandType::READ, 512, 8);
        link.finish_read(0, &[ReadPart::Hole(4), ReadPart::Data(4)]).unwrap();
        let hole = &["Reply", "NBD_CMD_READ", "NBD_REPLY_TYPE_OFFSET_HOLE", "length: 12", "offset: 512"][..];
        let data = &["Reply", "NBD_CMD_READ", "NBD_REPLY_TYPE_OFFSET_DATA", "DONE", "length: 12"];
        assert_observed(&seen, &[&["Request", "NBD_CMD_READ"], hole, data]);

        link.feed(&filtered_status(8, 0, 0, 512, &[OTHER, BASE]));
        assert_observed(&seen, &[&["Request", "NBD_CMD_BLOCK_STATUS", "PAYLOAD_LEN", "length: 16"]]);
        let extent = [Descriptor { length: 512, flags: 0 }];
        link.finish_status(1, &[(BASE, &extent), (OTHER, &extent)]).unwrap();
        let status = &["Reply", "NBD_CMD_BLOCK_STATUS", "NBD_REPLY_TYPE_BLOCK_STATUS_EXT", "length: 24"][..];
        assert_observed(&seen, &[status, status]);
    });
}

#[test]
fn what_the_engine_answers_by_itself_is_shown_too() {
    each_style(|link| {
        let seen = observe(link);
        link.ask(7, CommandType(77), 0, 0);
        assert_observed(&seen, &[&["Request", "0x4d"], &["Reply", "0x4d"]]);
        link.ask(7, CommandType::WRITE, 1 << 20, 4);
        assert_observed(&seen, &[&["Request", "NBD_CMD_WRITE"], &["Reply", "NBD_CMD_WRITE"]]);
        link.ask(7, CommandType::TRIM, 0, 0);
        assert_observed(&seen, &[&["Request", "NBD_CMD_TRIM"], &["Reply", "NBD_CMD_TRIM"]]);
    });
}

#[test]
fn a_disconnect_and_failures_are_shown() {
    each_style(|link| {
        link.ask(7, CommandType::FLUSH, 0, 0);
        let seen = observe(link);
        link.ask(8, CommandType::DISC, 0, 0);
        assert_observed(&seen, &[&["Request", "NBD_CMD_DISC"]]);
        link.fail(0, ErrorValue::EIO).unwrap();
        assert_observed(&seen, &[&["Reply", "NBD_CMD_FLUSH"]]);
    });
}

#[test]
fn the_end_is_shown_once() {
    each_style(|link| {
        let seen = observe(link);
        link.feed(b"GET / HTTP/1.1");
        link.server.eof();
        link.server.give_up("gone");
        link.poll();
        assert_observed(&seen, &[&["Fatal", "Magic", "1195725856"]]);
    });
}

#[test]
fn the_request_that_ends_the_connection_is_shown_before() {
    each_way(&Setup::new(ReplyStyle::Extended), |link| {
        let seen = observe(link);
        link.feed(&request(link.style, 7, CommandType::WRITE, CommandFlags::empty(), 0, u64::MAX));
        let length = u64::MAX.to_string();
        assert_observed(&seen, &[&["Request", "NBD_CMD_WRITE", &length], &["Fatal", "PayloadTooLong"]]);
    });
}

#[test]
fn an_observer_can_be_taken_away() {
    each_style(|link| {
        let seen = observe(link);
        link.server.set_observer(None);
        link.ask(7, CommandType::FLUSH, 0, 0);
        assert_eq!(seen.try_recv(), Err(TryRecvError::Disconnected), "the observer is dropped");
    });
}
