//! Each request that the caller hears of ends in exactly one `Done`, however the connection ends.

use std::time::Duration;

use nbd_driver_mio::nbd_proto::transmission::RequestId;
use nbd_driver_mio::{ServerEvent, ServerOptions, Turn};

use crate::one::One;
use crate::raw::{DISC, READ, WRITE, request};

const FLUSH: u16 = 3;
const LARGE: u32 = 8 << 20;
const STALL: Duration = Duration::from_secs(9);

/// Ends a connection that has requests in every state: one is through, the answer of one is stuck, one is not answered,
/// one is not there in full, and its payload does not get on.
#[track_caller]
fn cut_off(end: impl FnOnce(&mut One)) -> String {
    let mut one = One::open(ServerOptions::default().with_stall_timeout(Some(STALL)));
    one.raw.request(FLUSH, 1, 0, 0);
    one.raw.request(READ, 2, 0, LARGE);
    one.raw.request(FLUSH, 3, 0, 0);
    one.raw.send(&[&request(WRITE, 4, 0, 512)[..], &[7; 100]].concat());
    let [through, stuck, unanswered] = one.requests().try_into().unwrap();
    one.server.finish(through.id).unwrap();
    assert_eq!(one.dones().into_iter().map(|(id, _, sent)| (id, sent)).collect::<Vec<_>>(), [(through.id, true)]);
    let buffer = vec![1; LARGE as usize];
    let address = buffer.as_ptr();
    one.server.finish_read(stuck.id, buffer).unwrap();
    assert!(one.dones().is_empty());
    end(&mut one);
    let mut open = vec![stuck.id, unanswered.id];
    for event in one.settle() {
        match event {
            // What came in full before the end is told of.
            ServerEvent::Request { request, .. } => open.push(request.id),
            ServerEvent::Done { id, buffer, sent } => {
                let at = open.iter().position(|open| *open == id).expect("a Done too many");
                open.swap_remove(at);
                assert!(!sent);
                if id == stuck.id {
                    assert_eq!((buffer.as_ptr(), buffer.len()), (address, LARGE as usize));
                }
            }
        }
    }
    assert_eq!(open, []);
    assert!(one.is_over());
    // It stays over, and says no more.
    assert_eq!(one.turn(), Turn::Over);
    assert!(one.server.event().is_none());
    assert_eq!(one.server.deadline(), None);
    one.server.finish(unanswered.id).unwrap_err();
    one.error()
}

#[test]
fn when_the_client_vanishes() {
    cut_off(|one| {
        let (other, _) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(std::mem::replace(&mut one.raw.0, other));
    });
}

#[test]
fn when_the_client_breaks_a_rule() {
    let error = cut_off(|one| one.raw.send(&[7; 412 + 28]));
    assert!(error.contains("does not speak NBD"), "{error}");
}

#[test]
fn when_the_caller_gives_up() {
    let error = cut_off(|one| one.server.give_up("for a test"));
    assert!(error.contains("for a test"), "{error}");
}

#[test]
fn when_the_client_takes_nothing_for_too_long() {
    let error = cut_off(|one| one.now += STALL);
    assert!(error.contains("took no bytes for 9 s"), "{error}");
}

/// Ends a connection in order: with one request that is done, and two that are answered late.
#[track_caller]
fn in_order(end: impl FnOnce(&mut One)) -> One {
    let mut one = One::open(ServerOptions::default());
    for cookie in 1..=3 {
        one.raw.request(FLUSH, cookie, 0, 0);
    }
    let [first, second, third] = one.requests().try_into().unwrap();
    one.server.finish(first.id).unwrap();
    assert_eq!(one.dones().len(), 1);
    end(&mut one);
    assert!(one.dones().is_empty() && !one.is_over());
    for id in [third.id, second.id] {
        one.server.finish(id).unwrap();
    }
    let dones: Vec<(RequestId, bool)> = one.dones().into_iter().map(|(id, _, sent)| (id, sent)).collect();
    assert_eq!(dones, [(third.id, true), (second.id, true)]);
    assert!(one.is_over());
    for cookie in [1, 3, 2] {
        assert_eq!(one.raw.simple_reply(), (0, cookie));
    }
    one.raw.expect_end();
    assert_eq!(one.turn(), Turn::Over);
    assert!(one.server.event().is_none());
    one
}

#[test]
fn after_a_soft_disconnect() {
    in_order(|one| one.raw.request(DISC, 0, 0, 0)).assert_ended_in_order();
}

#[test]
fn after_a_shutdown_of_the_server() {
    in_order(|one| one.server.begin_shutdown()).assert_ended_in_order();
}

#[test]
fn after_the_client_closed_its_half() {
    let one = in_order(|one| one.raw.0.shutdown(std::net::Shutdown::Write).unwrap());
    assert!(one.error().contains("a request"), "{}", one.error());
}

/// The end comes before the caller has looked.
#[test]
fn also_for_requests_that_were_not_taken_before_the_end() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&[request(FLUSH, 1, 0, 0), request(READ, 2, 0, 512)].concat());
    assert_eq!(one.turn(), Turn::Wait);
    one.server.give_up("for a test");
    let (mut open, mut ended) = (Vec::new(), Vec::new());
    for event in one.settle() {
        match event {
            ServerEvent::Request { request, .. } => open.push(request.id),
            ServerEvent::Done { id, sent, .. } => {
                assert!(open.contains(&id) && !sent);
                ended.push(id);
            }
        }
    }
    ended.sort_unstable();
    open.sort_unstable();
    assert_eq!(open.len(), 2);
    assert_eq!(open, ended);
}

#[test]
fn but_not_for_a_request_that_waited_for_room() {
    let mut one = One::open(ServerOptions::default().with_max_bytes(1000));
    one.raw.send(&[request(READ, 1, 0, 800), request(READ, 2, 0, 800)].concat());
    let [first] = one.requests().try_into().unwrap();
    one.server.give_up("for a test");
    let dones = one.dones();
    assert_eq!(dones.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [first.id]);
}
