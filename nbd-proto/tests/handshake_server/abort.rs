//! `ABORT`.

use nbd_proto::error::Ended;
use nbd_proto::handshake::{Advance, ServerStatus};
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::bytes;
use crate::session::Session;

fn aborted(option: &[u8]) -> Session {
    let mut session = Session::fixed();
    assert_eq!(session.send(option), None);
    assert_eq!(session.server.status(), ServerStatus::Closed);
    assert_eq!(session.sent(), bytes::ack(OptionCode::ABORT));
    session
}

#[test]
fn it_is_acknowledged_and_ends_the_session() {
    let mut session = aborted(&bytes::option(&OptionRequest::Abort));
    assert_eq!(session.server.eof(), Ended::ByUs.into());
    session.ends_with(Ended::ByUs);
}

#[test]
fn its_payload_does_not_matter() {
    aborted(&bytes::raw(OptionCode::ABORT, b"so long"));
    aborted(&bytes::raw(OptionCode::ABORT, &vec![7; 100_000]));
}

#[test]
fn nothing_behind_it_is_consumed() {
    let mut session = aborted(&bytes::option(&OptionRequest::Abort));
    let mut out = Vec::new();
    let more = bytes::option(&OptionRequest::List);
    assert_eq!(session.server.input(&more, &mut out), Ok(Advance { consumed: 0, event: None }));
    assert_eq!(out, b"");
}

#[test]
fn it_has_no_result() {
    let session = aborted(&bytes::option(&OptionRequest::Abort));
    assert!(session.server.finish().is_err());
}
