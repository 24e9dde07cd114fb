//! Each request that was taken ends in exactly one completion, however the connection ends; and nothing comes after that.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::error::CommandError;
use nbd_driver_mio::nbd_proto::transmission::Command;
use nbd_driver_mio::nbd_proto::wire::number::Cookie;
use nbd_driver_mio::{Buffer, ClientOptions, Completion, Turn};

use crate::peer::{DISC, Peer, READ, Request};
use crate::rig::Rig;
use crate::support::must_end;

const LIMIT: Duration = Duration::from_secs(10);

/// How many requests are made.
const COUNT: usize = 7;

/// Hands requests in, has the first answered, lets `end` bring about the end, and counts. Returns what the connection
/// ended with, and how many requests succeeded.
fn end_by(end: impl FnOnce(&mut Rig, &mut Option<Peer>, &[Request]) -> Vec<Completion>) -> (Result<(), String>, usize) {
    let (mut rig, peer) = Rig::new(ClientOptions::default().with_request_timeout(Some(LIMIT)));
    let mut expected: HashMap<Cookie, (Command, usize)> = HashMap::new();
    for number in 0..3 {
        let read = Command::read(number * 512, 512);
        expected.insert(rig.client.submit(read, vec![0; 512]).unwrap(), (read, 512));
        let write = Command::write(number * 512, 1000);
        expected.insert(rig.client.submit(write, vec![1; 1000]).unwrap(), (write, 1000));
    }
    expected.insert(rig.client.submit(Command::flush(), Buffer::NONE).unwrap(), (Command::flush(), 0));
    assert_eq!((expected.len(), rig.client.in_flight()), (COUNT, COUNT));
    assert_eq!(rig.turn(), Turn::Wait);
    let mut peer = Some(peer);
    let requests: Vec<_> = std::iter::from_fn(|| peer.as_mut()?.request()).take(COUNT).collect();
    answer(&mut peer, &requests[..1], 0);
    let mut succeeded = 0;
    for completion in end(&mut rig, &mut peer, &requests) {
        let command = (completion.command, completion.buffer.len());
        assert_eq!(expected.remove(&completion.cookie), Some(command), "not asked for, or a second time");
        succeeded += usize::from(completion.result.is_ok());
    }
    assert!(expected.is_empty(), "no end for {expected:?}");
    // It stays over.
    for _ in 0..3 {
        assert_eq!(rig.turn(), Turn::Over);
        assert!(rig.client.completion().is_none());
    }
    assert_eq!((rig.client.in_flight(), rig.client.room(), rig.client.deadline()), (0, 0, None));
    let rejected = rig.client.write(vec![5; 10], 0).unwrap_err();
    assert!(!rejected.is_not_now() && rejected.buffer[..] == [5; 10], "{rejected}");
    // The server has seen the end, though the client is still there.
    if let Some(mut peer) = peer {
        while peer.request().is_some() {}
    }
    (rig.client.end().unwrap().map_err(ToString::to_string), succeeded)
}

fn answer(peer: &mut Option<Peer>, requests: &[Request], error: u32) {
    for request in requests {
        let data = vec![9; if request.kind == READ && error == 0 { 512 } else { 0 }];
        peer.as_mut().unwrap().reply(request, error, &data);
    }
}

/// The connection fails, and so do all requests but the first.
#[track_caller]
fn fails(words: &str, end: impl FnOnce(&mut Rig, &mut Option<Peer>, &[Request]) -> Vec<Completion>) {
    let (result, succeeded) = end_by(|rig, peer, requests| {
        let completions = end(rig, peer, requests);
        for completion in &completions {
            assert!(matches!(completion.result, Ok(()) | Err(CommandError::Connection(_))), "{completion:?}");
        }
        completions
    });
    let error = result.unwrap_err();
    assert!(error.contains(words), "{error}");
    assert_eq!(succeeded, 1);
}

#[test]
fn by_a_soft_disconnect() {
    must_end(|| {
        let end = end_by(|rig, peer, requests| {
            rig.client.disconnect();
            assert_eq!(rig.turn(), Turn::Wait);
            rig.client.read(vec![0; 1], 0).unwrap_err();
            answer(peer, &requests[1..], 0);
            let completions = rig.completions(COUNT);
            peer.as_mut().unwrap().expect(DISC);
            peer.take();
            assert!(rig.run_to_end().is_empty());
            completions
        });
        assert_eq!(end, (Ok(()), COUNT));
    });
}

#[test]
fn by_a_server_that_shuts_down() {
    must_end(|| {
        let end = end_by(|rig, peer, requests| {
            // ESHUTDOWN for one, and the others as usual.
            answer(peer, &requests[3..4], 108);
            answer(peer, &requests[1..3], 0);
            answer(peer, &requests[4..], 0);
            let completions = rig.completions(COUNT);
            peer.as_mut().unwrap().expect(DISC);
            peer.take();
            assert!(rig.run_to_end().is_empty());
            completions
        });
        assert_eq!(end, (Ok(()), COUNT - 1));
    });
}

#[test]
fn by_the_servers_end_between_replies() {
    must_end(|| {
        fails("closed the connection", |rig, peer, _| {
            peer.take();
            rig.run_to_end()
        });
    });
}

#[test]
fn by_the_servers_end_in_the_middle_of_a_header() {
    must_end(|| {
        fails("in the middle of a reply", |rig, peer, _| {
            peer.take().unwrap().0.write_all(&0x6744_6698_u32.to_be_bytes()).unwrap();
            rig.run_to_end()
        });
    });
}

#[test]
fn by_the_servers_end_in_the_middle_of_a_payload() {
    must_end(|| {
        fails("in the middle of a reply", |rig, peer, requests| {
            peer.take().unwrap().reply(&requests[2], 0, &[1; 511]);
            rig.run_to_end()
        });
    });
}

#[test]
fn by_a_half_of_the_connection() {
    must_end(|| {
        fails("closed the connection", |rig, peer, _| {
            peer.as_ref().unwrap().0.shutdown(Shutdown::Write).unwrap();
            rig.run_to_end()
        });
    });
}

/// Unread requests make a reset of the end.
#[test]
fn by_a_reset() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        let first = rig.client.read(vec![0; 512], 0).unwrap();
        let second = rig.client.read(vec![0; 512], 512).unwrap();
        assert_eq!(rig.turn(), Turn::Wait);
        let request = peer.expect(READ);
        peer.reply(&request, 0, &[1; 512]);
        drop(peer);
        let completions = rig.run_to_end();
        let by_cookie = |cookie| completions.iter().filter(move |done| done.cookie == cookie).collect::<Vec<_>>();
        assert!(matches!(by_cookie(second)[..], [done] if done.result.is_err()), "{completions:?}");
        assert_eq!((by_cookie(first).len(), completions.len()), (1, 2));
        let error = rig.client.end().unwrap().unwrap_err().to_string();
        assert!(error.contains("receiving") || error.contains("closed"), "{error}");
    });
}

#[test]
fn by_a_broken_rule() {
    must_end(|| {
        fails("broke the NBD protocol", |rig, peer, requests| {
            let stranger = Request { cookie: !requests[1].cookie, ..requests[1].clone() };
            answer(peer, &[stranger], 0);
            rig.run_to_end()
        });
    });
}

#[test]
fn by_giving_up() {
    must_end(|| {
        fails("the operator said so", |rig, _, _| {
            // What has come already counts.
            let mut completions = rig.completions(1);
            rig.client.give_up("the operator said so");
            completions.extend(rig.run_to_end());
            completions
        });
    });
}

#[test]
fn by_a_request_that_takes_too_long() {
    must_end(|| {
        fails("not answered within 10 s", |rig, _, _| {
            let mut completions = rig.completions(1);
            assert_eq!(rig.turn_at(Instant::now() + LIMIT), Turn::Over);
            completions.extend(rig.run_to_end());
            completions
        });
    });
}

/// Whatever the client has not even begun to send.
#[test]
fn by_an_end_before_anything_was_sent() {
    must_end(|| {
        let (mut rig, peer) = Rig::new(ClientOptions::default());
        for _ in 0..5 {
            rig.client.write(vec![0; 1 << 20], 0).unwrap();
        }
        drop(peer);
        assert_eq!(rig.run_to_end().len(), 5);
        assert_eq!(rig.client.in_flight(), 0);
    });
}

/// The buffers go with it, and what the server still says goes nowhere.
#[test]
fn but_a_client_that_is_dropped_says_goodbye_and_no_more() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        let kept = bytes::Bytes::from(vec![1; 512]);
        rig.client.write(kept.clone(), 0).unwrap();
        assert_eq!(rig.turn(), Turn::Wait);
        assert!(!kept.is_unique());
        drop(rig.client);
        assert!(kept.is_unique());
        assert_eq!(peer.request().unwrap().data, kept);
        peer.expect_goodbye();
    });
}
