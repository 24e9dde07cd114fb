//! Events that mean nothing, and turns that nobody needs, do no harm and nothing else.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nbd_driver_mio::{ClientOptions, Turn};
use nbd_testkit::oldstyle_greeting;

use crate::driver::Loop;
use crate::peer::{ALL, READ};
use crate::rig::{Rig, connecting, event_of_another, peer};
use crate::support::{MIB, must_end};

/// Events, turns, and both.
fn disturb(rig: &mut Rig) {
    let before = (rig.client.in_flight(), rig.client.room(), rig.client.deadline());
    for round in 0..9 {
        if round % 3 != 0 {
            event_of_another(|event| rig.client.ready(event));
        }
        if round % 3 != 1 {
            assert_eq!(rig.turn(), Turn::Wait);
        }
        assert!(rig.client.completion().is_none());
    }
    assert_eq!((rig.client.in_flight(), rig.client.room(), rig.client.deadline()), before);
}

#[test]
fn between_requests_and_in_the_middle_of_replies() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        disturb(&mut rig);
        assert!(!peer.comes_within(Duration::ZERO), "something was sent");
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn(), Turn::Wait);
        let request = peer.expect(READ);
        disturb(&mut rig);
        let header = [&0x6744_6698_u32.to_be_bytes()[..], &[0; 4], &request.cookie.to_be_bytes()].concat();
        for piece in [&header[..7], &header[7..], &[8; 100], &[8; 411]] {
            peer.0.write_all(piece).unwrap();
            rig.wait();
            assert_eq!(rig.turn(), Turn::Wait);
            disturb(&mut rig);
        }
        assert!(!peer.comes_within(Duration::ZERO), "something was sent");
        peer.0.write_all(&[8]).unwrap();
        let completions = rig.completions(1);
        assert_eq!(completions[0].result, Ok(()));
        assert_eq!(completions[0].buffer[..], [8; 512]);
    });
}

#[test]
fn in_the_middle_of_a_request_that_does_not_fit() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        rig.client.write(vec![6; MIB as usize], 0).unwrap();
        while rig.turn() == Turn::Again {}
        disturb(&mut rig);
        let server = std::thread::spawn(move || {
            let request = peer.request().unwrap();
            peer.reply(&request, 0, &[]);
            request
        });
        assert_eq!(rig.completions(1)[0].result, Ok(()));
        assert_eq!(server.join().unwrap().data, vec![6; MIB as usize]);
    });
}

#[test]
fn in_the_handshake() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let (mut connecting, mut event_loop) = (connecting(client), Loop::new());
        event_loop.watch(&mut connecting);
        for byte in oldstyle_greeting(MIB, ALL.into()) {
            for _ in 0..3 {
                event_of_another(|event| connecting.ready(event));
                assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), Turn::Wait);
            }
            server.write_all(&[byte]).unwrap();
            event_loop.wait(None, |event| connecting.ready(event));
        }
        assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), Turn::Over);
        // And once more, after the end.
        event_of_another(|event| connecting.ready(event));
        assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), Turn::Over);
        let mut rig = Rig { event_loop, client: connecting.into_client(ClientOptions::default()).unwrap() };
        disturb(&mut rig);
        drop(rig);
        peer(server).expect_goodbye();
    });
}

#[test]
fn after_a_handshake_that_failed() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let (mut connecting, mut event_loop) = (connecting(client), Loop::new());
        server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        event_loop.negotiate(&mut connecting).unwrap_err();
        for _ in 0..3 {
            event_of_another(|event| connecting.ready(event));
            connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap_err();
        }
        assert_eq!(connecting.deadline(), None);
    });
}
