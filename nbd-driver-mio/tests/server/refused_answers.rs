//! Answers that do not fit are refused, and leave everything as it is: the buffer comes back.

use nbd_driver_mio::nbd_proto::transmission::{Failure, ReadPart};
use nbd_driver_mio::nbd_proto::wire::number::ErrorValue;
use nbd_driver_mio::{RefusedAnswer, ServerOptions};

use crate::one::One;
use crate::raw::{READ, request};

const FLUSH: u16 = 3;
const FAILURE: Failure<'_> = Failure { error: ErrorValue::EIO, message: "", offset: None };

/// A buffer that is refused, and comes back.
#[track_caller]
fn refused(length: usize, answer: impl FnOnce(Vec<u8>) -> Result<(), RefusedAnswer>) {
    let buffer = vec![9; length];
    let address = buffer.as_ptr();
    let refused = answer(buffer).unwrap_err();
    assert_eq!((refused.buffer.as_ptr(), refused.buffer.len()), (address, length));
}

#[test]
fn of_the_wrong_length_or_kind() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&[request(READ, 1, 0, 512), request(FLUSH, 2, 0, 0)].concat());
    let [read, flush] = one.requests().try_into().unwrap();
    for length in [0, 511, 513] {
        refused(length, |buffer| one.server.finish_read(read.id, buffer));
    }
    refused(512, |buffer| one.server.finish_read_with(read.id, buffer, &[ReadPart::Data(511)]));
    refused(512, |buffer| one.server.finish_read_with(read.id, buffer, &[ReadPart::Data(512), ReadPart::Hole(1)]));
    refused(0, |buffer| one.server.finish_read(flush.id, buffer));
    one.server.finish(read.id).unwrap_err();
    one.server.finish_status(flush.id, &[]).unwrap_err();
    assert!(one.dones().is_empty());
    // Nothing of all that has been sent, and the right answers are taken.
    one.server.finish_read(read.id, vec![4; 512]).unwrap();
    one.server.finish(flush.id).unwrap();
    assert_eq!(one.dones().len(), 2);
    assert_eq!(one.raw.simple_reply(), (0, 1));
    assert_eq!(one.raw.many(512), [4; 512]);
    assert_eq!(one.raw.simple_reply(), (0, 2));
}

#[test]
fn that_come_twice() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&[request(READ, 1, 0, 512), request(FLUSH, 2, 0, 0)].concat());
    let [read, flush] = one.requests().try_into().unwrap();
    for sent in [false, true] {
        if !sent {
            one.server.finish_read(read.id, vec![4; 512]).unwrap();
            one.server.fail(flush.id, &FAILURE).unwrap();
        }
        // Before the first one has been sent, and behind its Done.
        refused(512, |buffer| one.server.finish_read(read.id, buffer));
        one.server.fail(read.id, &FAILURE).unwrap_err();
        one.server.finish(flush.id).unwrap_err();
        one.server.fail(flush.id, &FAILURE).unwrap_err();
        assert_eq!(one.dones().len(), if sent { 0 } else { 2 });
    }
    assert_eq!(one.raw.simple_reply(), (0, 1));
    assert_eq!(one.raw.many(512), [4; 512]);
    assert_eq!(one.raw.simple_reply(), (5, 2));
}

/// A name that was used up, while another request has its place.
#[test]
fn to_a_request_of_before() {
    let mut one = One::open(ServerOptions::default());
    one.raw.request(READ, 1, 0, 512);
    let [old] = one.requests().try_into().unwrap();
    one.server.finish_read(old.id, vec![4; 512]).unwrap();
    assert_eq!(one.dones().len(), 1);
    one.raw.request(READ, 2, 0, 512);
    let [new] = one.requests().try_into().unwrap();
    assert_eq!(new.id.slot(), old.id.slot());
    refused(512, |buffer| one.server.finish_read(old.id, buffer));
    one.server.fail(old.id, &FAILURE).unwrap_err();
    assert!(one.dones().is_empty());
    one.server.fail(new.id, &FAILURE).unwrap();
    assert_eq!(one.dones().len(), 1);
}

#[test]
fn after_the_end() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&[request(READ, 1, 0, 512), request(FLUSH, 2, 0, 0)].concat());
    let [read, flush] = one.requests().try_into().unwrap();
    one.server.give_up("for a test");
    // Also before the turn that tells of it.
    refused(512, |buffer| one.server.finish_read(read.id, buffer));
    assert_eq!(one.dones().len(), 2);
    refused(512, |buffer| one.server.finish_read(read.id, buffer));
    one.server.finish(flush.id).unwrap_err();
    one.server.fail(flush.id, &FAILURE).unwrap_err();
    assert!(one.dones().is_empty());
}
