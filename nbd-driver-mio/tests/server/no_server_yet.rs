//! Before a turn has said that the handshake is over, there is no server; and after a failure there never is.

use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::{Accepting, Scratch, ServerOptions, Turn};

use crate::one::{Readiness, hello, offer, pair};

#[test]
fn a_handshake_that_failed_is_no_goodbye() {
    let (socket, raw) = pair();
    let now = Instant::now();
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, now);
    drop(raw);
    accepting.turn(&mut Scratch::new(), now).unwrap_err();
    accepting.into_server(ServerOptions::default()).unwrap_err();
}

#[test]
fn a_handshake_that_took_too_long_is_no_goodbye() {
    let (socket, _raw) = pair();
    let now = Instant::now();
    let limit = Duration::from_secs(1);
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), Some(limit), now);
    accepting.turn(&mut Scratch::new(), now + limit).unwrap_err();
    assert_eq!(accepting.deadline(), None);
    accepting.into_server(ServerOptions::default()).unwrap_err();
}

/// The client would wait for ever for an answer that is lost.
#[test]
fn an_answer_that_was_not_sent_is_not_forgotten() {
    let (socket, mut raw) = pair();
    let now = Instant::now();
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, now);
    let mut readiness = Readiness::of(&mut accepting);
    raw.send(&hello());
    readiness.tell(|event| accepting.ready(event));
    assert_eq!(accepting.turn(&mut Scratch::new(), now).unwrap(), Turn::Wait);
    assert!(accepting.answer_from(&[("disk", offer())]).unwrap());
    accepting.into_server(ServerOptions::default()).unwrap_err();
}
