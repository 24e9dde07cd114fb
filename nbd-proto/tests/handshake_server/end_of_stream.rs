//! The client closes the stream, or the driver gives up.

use nbd_proto::error::{Ended, Error};
use nbd_proto::handshake::{Advance, HandshakeStyle, ServerHandshakeSettings, ServerTls};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go};
use crate::session::{Session, plain};
use crate::starttls::with_tls;

#[track_caller]
fn ends(mut session: Session, ended: Ended) {
    let error = Error::from(ended);
    assert_eq!(session.server.eof(), error);
    session.ends_with(error);
}

fn boundary(awaiting: &'static str) -> Ended {
    Ended::AtBoundary { awaiting }
}

fn inside(within: &'static str) -> Ended {
    Ended::InMessage { within }
}

#[test]
fn before_a_message() {
    let oldstyle = ServerHandshakeSettings::default().with_style(HandshakeStyle::Oldstyle);
    ends(Session::new(oldstyle), boundary("the greeting"));
    ends(Session::new(ServerHandshakeSettings::default()), boundary("the answer to the greeting"));
    ends(Session::fixed(), boundary("an option"));
    ends(Session::structured(), boundary("an option"));
}

#[test]
fn inside_a_message() {
    for length in 1..4 {
        let mut session = Session::new(ServerHandshakeSettings::default());
        session.send(&bytes::client_flags(3)[..length]);
        ends(session, inside("the answer to the greeting"));
    }
    for option in [bytes::option(&go("disk", &[])), bytes::raw(OptionCode(99), b"unknown")] {
        for length in 1..option.len() {
            let mut session = Session::fixed();
            session.send(&option[..length]);
            ends(session, inside("an option"));
        }
    }
}

#[test]
fn an_empty_call_does_not_change_where_it_is() {
    let mut session = Session::fixed();
    session.send(b"IHAVE");
    assert_eq!(session.server.input(b"", &mut Vec::new()), Ok(Advance { consumed: 0, event: None }));
    ends(session, inside("an option"));
}

#[test]
fn while_somebody_else_is_to_act() {
    let mut session = Session::fixed();
    session.ask(&go("disk", &[]));
    ends(session, boundary("the answer to an option"));
    let mut session = Session::fixed();
    assert!(session.send(&[bytes::option(&go("disk", &[])), b"IHAVE".to_vec()].concat()).is_some());
    ends(session, boundary("the answer to an option"));
    let mut session = Session::fixed();
    session.offered(&go("disk", &[]), &plain());
    ends(session, boundary("the first request"));
    let mut session = with_tls(ServerTls::Offered);
    session.send(&bytes::option(&OptionRequest::StartTls));
    ends(session, boundary("the TLS handshake"));
}

#[test]
fn the_driver_gives_up() {
    let mut session = Session::fixed();
    let error = Error::from(Ended::GivenUp { reason: "time is over".to_owned() });
    assert_eq!(session.server.give_up("time is over"), error);
    session.ends_with(error);
}

#[test]
fn an_unfinished_handshake_has_no_result() {
    let error = Session::fixed().server.finish().unwrap_err();
    assert_eq!(error, Ended::GivenUp { reason: "the handshake is not finished".to_owned() }.into());
}
