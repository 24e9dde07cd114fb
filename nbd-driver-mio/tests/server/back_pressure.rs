//! At each limit nothing more is read: what a client sends stays in the socket, and memory does not grow.

use std::io::{ErrorKind, Read as _, Write as _};

use nbd_driver_mio::nbd_proto::transmission::{RequestId, ServerSettings};
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{ServerEvent, ServerOptions, Turn};

use crate::one::{One, pair};
use crate::raw::{READ, Raw, WRITE, request};

const FLUSH: u16 = 3;

/// What a connection may hold of a client's bytes beside the payload of requests: as much as is received at once.
const SCRATCH: usize = 128 << 10;

/// Sends as much as goes, from where it left off in an endless repetition.
fn send(raw: &mut Raw, message: &[u8], sent: &mut usize) -> bool {
    let many = message.repeat((64 << 10) / message.len() + 1);
    let before = *sent;
    raw.0.set_nonblocking(true).unwrap();
    loop {
        match raw.0.write(&many[*sent % message.len()..]) {
            Ok(count) => *sent += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return *sent > before;
            }
        }
    }
}

/// How much a socket takes that nobody reads from.
fn capacity(message: &[u8]) -> usize {
    let (_unread, mut raw) = pair();
    let mut sent = 0;
    send(&mut raw, message, &mut sent);
    sent
}

/// Sends messages without end while requests are taken and not answered. With the requests, and how many bytes were
/// sent.
fn unanswered(one: &mut One, message: &[u8]) -> (Vec<RequestId>, usize) {
    let (mut requests, mut sent) = (Vec::new(), 0);
    // A server without a limit would go on.
    while send(&mut one.raw, message, &mut sent) && sent < 64 << 20 {
        requests.extend(one.requests().iter().map(|request| request.id));
    }
    (requests, sent)
}

/// Answers those, and all that come, until every message that was sent in full has its answer.
fn goes_on(one: &mut One, mut open: Vec<(RequestId, usize)>, message: &[u8], sent: usize) {
    let all = sent / message.len();
    let (mut answered, mut received) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    while answered < all || !open.is_empty() {
        assert!(!open.is_empty() || received > 0, "{answered} of {all} answered, and nothing comes");
        received = 0;
        for (id, read) in open.drain(..) {
            if read > 0 {
                one.server.finish_read(id, vec![0; read]).unwrap();
            } else {
                one.server.finish(id).unwrap();
            }
            answered += 1;
        }
        loop {
            for event in one.settle() {
                if let ServerEvent::Request { request, .. } = event {
                    let read = if request.command == CommandType::READ { request.length as usize } else { 0 };
                    open.push((request.id, read));
                }
            }
            match one.raw.0.read(&mut buffer) {
                Ok(count) => received += count,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    assert_eq!(answered, all);
}

#[test]
fn of_requests_in_flight() {
    let engine = ServerSettings::default().with_max_in_flight(4);
    let mut one = One::open(ServerOptions::default().with_engine(engine));
    let message = request(FLUSH, 1, 0, 0);
    let (requests, sent) = unanswered(&mut one, &message);
    assert_eq!(requests.len(), 4);
    assert!(sent <= capacity(&message) + SCRATCH, "{sent} bytes were taken");
    goes_on(&mut one, requests.into_iter().map(|id| (id, 0)).collect(), &message, sent);
}

#[test]
fn of_bytes_to_be_written() {
    let mut one = One::open(ServerOptions::default().with_max_bytes(1 << 20));
    let message = [request(WRITE, 1, 0, 256 << 10), vec![7; 256 << 10]].concat();
    let (requests, sent) = unanswered(&mut one, &message);
    assert_eq!(requests.len(), 4);
    assert!(sent <= capacity(&message) + (1 << 20) + 4 * 28 + SCRATCH, "{sent} bytes were taken");
    goes_on(&mut one, requests.into_iter().map(|id| (id, 0)).collect(), &message, sent);
}

#[test]
fn of_bytes_to_be_read() {
    let mut one = One::open(ServerOptions::default().with_max_bytes(1 << 20));
    let message = request(READ, 1, 0, 256 << 10);
    let (requests, sent) = unanswered(&mut one, &message);
    assert_eq!(requests.len(), 4);
    assert!(sent <= capacity(&message) + SCRATCH, "{sent} bytes were taken");
    // All of what fits into the socket would be gigabytes.
    let engine = ServerSettings::default();
    let mut one = One::open(ServerOptions::default().with_max_bytes(1 << 20).with_engine(engine));
    one.raw.send(&message.repeat(100));
    let requests = one.requests();
    assert_eq!(requests.len(), 4);
    one.raw.0.set_nonblocking(true).unwrap();
    goes_on(&mut one, requests.iter().map(|request| (request.id, 256 << 10)).collect(), &message, 100 * 28);
}

/// Buffers count until the caller has them back.
#[test]
fn of_bytes_that_were_sent_and_not_taken_back() {
    let mut one = One::open(ServerOptions::default().with_max_bytes(1000));
    one.raw.send(&[request(READ, 1, 0, 1000), request(READ, 2, 0, 1000)].concat());
    let [first] = one.requests().try_into().unwrap();
    one.server.finish_read(first.id, vec![0; 1000]).unwrap();
    // The answer is out, the buffer is not taken: there is no room, and only taking it makes some.
    assert_eq!(one.turn(), Turn::Again);
    assert_eq!(one.raw.simple_reply(), (0, 1));
    assert_eq!(one.turn(), Turn::Again);
    assert!(matches!(one.server.event(), Some(ServerEvent::Done { sent: true, .. })));
    assert!(one.server.event().is_none());
    let [second] = one.requests().try_into().unwrap();
    assert_eq!(second.length, 1000);
}

#[test]
fn one_that_is_longer_than_all_may_be_is_let_through_alone() {
    let mut one = One::open(ServerOptions::default().with_max_bytes(1000));
    one.raw.send(&[request(READ, 1, 0, 5000), request(READ, 2, 0, 1)].concat());
    let [first] = one.requests().try_into().unwrap();
    assert_eq!(first.length, 5000);
    one.server.finish_read(first.id, vec![0; 5000]).unwrap();
    let told = one.settle();
    assert!(matches!(told[..], [ServerEvent::Done { .. }, ServerEvent::Request { .. }]), "{told:?}");
}

#[test]
fn of_events_that_nobody_takes() {
    let engine = ServerSettings::default().with_max_in_flight(65_536);
    let mut one = One::open(ServerOptions::default().with_engine(engine));
    let message = request(FLUSH, 1, 0, 0);
    let mut sent = 0;
    while send(&mut one.raw, &message, &mut sent) && sent < 64 << 20 {
        for _ in 0..3 {
            // Taking them makes room, and nothing else tells when.
            assert_eq!(one.turn(), Turn::Again);
        }
    }
    assert!(sent <= capacity(&message) + SCRATCH, "{sent} bytes were taken");
    let mut requests = Vec::new();
    while let Some(ServerEvent::Request { request, .. }) = one.server.event() {
        requests.push((request.id, 0));
    }
    assert!(requests.len() <= 256, "{} events were kept", requests.len());
    goes_on(&mut one, requests, &message, sent);
}
