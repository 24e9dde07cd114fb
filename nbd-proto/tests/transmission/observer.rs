//! Every step can be observed (T5).

use std::sync::mpsc::{Receiver, channel};

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::observe::Observation;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::ErrorValue;

use crate::harness::{BITMAP, Link, STYLES, link, patterns};
use crate::server::{LAST, MORE, OK, data, failed, hole, simple};

fn observe(link: &mut Link) -> Receiver<String> {
    let (sender, receiver) = channel();
    link.client.set_observer(Some(Box::new(move |what: &Observation<'_>| {
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

// T5
#[test]
fn requests_replies_and_ends_are_shown_with_names_beside_numbers() {
    for style in [ReplyStyle::Structured, ReplyStyle::Extended] {
        let mut link = link(style);
        let seen = observe(&mut link);
        let read = link.submit(Command::read(512, 64).with_flags(CommandFlags::DF));
        assert_observed(&seen, &[&["Request", "NBD_CMD_READ", "0x0", "DF", "offset: 512", "length: 64"]]);
        let write = link.submit(Command::write(0, 16));
        assert_observed(&seen, &[&["Request", "NBD_CMD_WRITE", "length: 16"]]);

        link.receive(&link.chunk(read, MORE, &data(512, &patterns(512..576))));
        assert_observed(&seen, &[&["Reply", "NBD_CMD_READ", "NBD_REPLY_TYPE_OFFSET_DATA", "length: 72"]]);
        link.feed(&link.chunk(read, LAST, &Chunk::None));
        let none = &["Reply", "NBD_CMD_READ", "NBD_REPLY_TYPE_NONE", "DONE"][..];
        assert_observed(&seen, &[none, &["Done", &read.to_string(), "success: true"]]);
        link.feed(&link.chunk(write, LAST, &failed(ErrorValue::ENOSPC, b"")));
        let failure = &["Reply", "NBD_CMD_WRITE", "NBD_REPLY_TYPE_ERROR", "0x8001"][..];
        assert_observed(&seen, &[failure, &["Done", "success: false"]]);
    }
}

// T5
#[test]
fn simple_replies_are_shown_too() {
    let mut link = link(ReplyStyle::Simple);
    let seen = observe(&mut link);
    let read = link.submit(Command::read(0, 4));
    link.feed(&[&simple(read, OK)[..], b"abcd"].concat());
    let cookie = read.to_string();
    let header = &["Reply", "NBD_CMD_READ", "Simple", &cookie][..];
    assert_observed(&seen, &[&["Request"], header, &["Done", "success: true"]]);
}

// T5
#[test]
fn a_disconnect_and_the_payload_form_are_shown_as_sent() {
    let mut link = link(ReplyStyle::Extended);
    let seen = observe(&mut link);
    link.client.submit_for_contexts(Command::block_status(0, 512), &[BITMAP]).unwrap();
    assert_observed(&seen, &[&["Request", "NBD_CMD_BLOCK_STATUS", "PAYLOAD_LEN", "length: 12"]]);
    link.client.disconnect().unwrap();
    assert_observed(&seen, &[&["Request", "NBD_CMD_DISC", "0x2"]]);
}

// T5
#[test]
fn the_end_is_shown_once_and_before_the_ends_of_the_commands() {
    for style in STYLES {
        let mut link = link(style);
        link.submit(Command::flush());
        link.submit(Command::flush());
        let seen = observe(&mut link);
        link.feed(b"HTTP/1.1 200 OK");
        link.assert_over();
        let done = &["Done", "success: false"][..];
        assert_observed(&seen, &[&["Fatal", "0x48545450", "Magic"][..1], done, done]);
    }
}

// T5
#[test]
fn a_reply_is_shown_once_however_it_is_cut() {
    let mut link = link(ReplyStyle::Structured);
    let cookie = link.submit(Command::read(0, 64));
    let seen = observe(&mut link);
    let reply = link.chunk(cookie, LAST, &hole(0, 64));
    for byte in reply {
        link.feed(&[byte]);
    }
    assert_observed(&seen, &[&["Reply", "NBD_REPLY_TYPE_OFFSET_HOLE"], &["Done"]]);
}

#[test]
fn an_observer_can_be_taken_away() {
    let mut link = link(ReplyStyle::Simple);
    let seen = observe(&mut link);
    link.client.set_observer(None);
    link.submit(Command::flush());
    assert_eq!(seen.recv().ok(), None, "the observer is dropped");
    assert!(format!("{:?}", link.client).contains("Hook(unset)"));
}
