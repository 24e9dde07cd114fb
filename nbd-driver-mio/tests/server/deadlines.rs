//! The next deadline is always told, and kept by the caller's clock.

use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::{Accepting, Scratch, ServerOptions, Turn};

use crate::one::{One, Readiness, option, pair};
use crate::raw::{OPT_LIST, READ, WRITE, request};

const LIMIT: Duration = Duration::from_secs(7);
const MOMENT: Duration = Duration::from_millis(1);
/// A moment less than the limit.
const NEARLY: Duration = Duration::from_millis(6999);
const FLUSH: u16 = 3;

#[test]
fn of_a_handshake_stands_whatever_the_client_says() {
    let (socket, mut raw) = pair();
    let start = Instant::now();
    let mut scratch = Scratch::new();
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), Some(LIMIT), start);
    let mut readiness = Readiness::of(&mut accepting);
    raw.send(&3u32.to_be_bytes());
    for passed in [Duration::ZERO, MOMENT, NEARLY] {
        raw.send(&option(OPT_LIST, &[]));
        readiness.tell(|event| accepting.ready(event));
        assert_eq!(accepting.turn(&mut scratch, start + passed).unwrap(), Turn::Wait);
        assert!(accepting.answer_from(&[]).unwrap());
        assert_eq!(accepting.deadline(), Some(start + LIMIT));
    }
    let error = accepting.turn(&mut scratch, start + LIMIT).unwrap_err();
    assert!(error.to_string().contains("longer than 7 s"), "{error}");
    // For good.
    accepting.turn(&mut scratch, start + LIMIT).unwrap_err();
}

#[test]
fn of_a_handshake_is_none_where_it_may_take_for_ever() {
    let (socket, _raw) = pair();
    let start = Instant::now();
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, start);
    assert_eq!(accepting.turn(&mut Scratch::new(), start + 1000 * LIMIT).unwrap(), Turn::Wait);
    assert_eq!(accepting.deadline(), None);
}

fn idle() -> One {
    let mut one = One::open(ServerOptions::default().with_idle_timeout(Some(LIMIT)));
    assert_eq!(one.turn(), Turn::Wait);
    one
}

#[test]
fn of_an_idle_client_counts_from_what_it_was_sent_last() {
    let mut one = idle();
    assert_eq!(one.server.deadline(), Some(one.now + LIMIT));
    one.now += NEARLY;
    one.raw.request(FLUSH, 1, 0, 0);
    let [request] = one.requests().try_into().unwrap();
    // While it is owed something, it may wait as long as that takes.
    assert_eq!(one.server.deadline(), None);
    one.now += 10 * LIMIT;
    assert_eq!(one.turn(), Turn::Wait);
    one.server.finish(request.id).unwrap();
    assert_eq!(one.dones().len(), 1);
    assert_eq!(one.server.deadline(), Some(one.now + LIMIT));
    one.now += NEARLY;
    assert_eq!(one.turn(), Turn::Wait);
    one.now += MOMENT;
    assert_eq!(one.turn(), Turn::Over);
    assert!(one.error().contains("sent nothing for 7 s"), "{}", one.error());
    assert_eq!(one.server.deadline(), None);
}

#[test]
fn of_an_idle_client_counts_inside_a_request_too() {
    let mut one = idle();
    one.now += MOMENT;
    one.raw.send(&[&request(WRITE, 1, 0, 512)[..], &[7; 100]].concat());
    assert!(one.requests().is_empty());
    assert_eq!(one.server.deadline(), Some(one.now + LIMIT));
    one.now += LIMIT;
    assert_eq!(one.turn(), Turn::Over);
    assert!(one.server.event().is_none());
}

/// What has come in time counts, though the caller looks late.
#[test]
fn of_an_idle_client_is_not_missed_by_a_request_that_lies_there() {
    let mut one = idle();
    one.raw.request(FLUSH, 1, 0, 0);
    one.now += 2 * LIMIT;
    assert_eq!(one.requests().len(), 1);
}

#[test]
fn of_a_client_that_takes_nothing_counts_from_what_it_took_last() {
    let mut one = One::open(ServerOptions::default().with_stall_timeout(Some(LIMIT)));
    one.raw.request(READ, 1, 0, 16 << 20);
    let [request] = one.requests().try_into().unwrap();
    assert_eq!(one.server.deadline(), None);
    one.server.finish_read(request.id, vec![0; 16 << 20]).unwrap();
    assert!(one.dones().is_empty());
    for _ in 0..3 {
        assert_eq!(one.server.deadline(), Some(one.now + LIMIT));
        one.now += NEARLY;
        assert_eq!(one.turn(), Turn::Wait);
        assert!(!one.received().is_empty());
        assert!(one.dones().is_empty() && !one.is_over());
    }
    one.now += LIMIT;
    assert_eq!(one.turn(), Turn::Over);
    assert!(one.error().contains("took no bytes for 7 s"), "{}", one.error());
}

#[test]
fn of_a_client_is_none_where_there_are_no_limits() {
    let mut one = One::open(ServerOptions::default());
    one.raw.request(READ, 1, 0, 16 << 20);
    let [request] = one.requests().try_into().unwrap();
    one.server.finish_read(request.id, vec![0; 16 << 20]).unwrap();
    assert_eq!(one.turn(), Turn::Wait);
    assert_eq!(one.server.deadline(), None);
}
