//! How many options a client may send.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::{ServerHandshakeSettings, ServerTls};
use nbd_proto::limits::ServerHandshakeLimits;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, info};
use crate::session::{Session, plain};

fn limited(options: u32) -> ServerHandshakeSettings {
    ServerHandshakeSettings::default().with_limits(ServerHandshakeLimits::default().with_options(options))
}

#[test]
fn one_option_more_than_the_limit_ends_the_session() {
    let mut session = Session::greeted(limited(3), 3);
    session.acknowledged(&OptionRequest::StructuredReply);
    session.offered(&info("", &[]), &plain());
    assert_eq!(session.refused(&bytes::raw(OptionCode(99), b"x")), ReplyType::ERR_UNSUP);
    session.fails(&bytes::option(&OptionRequest::Abort), PeerMisbehaved::TooManyOptions { limit: 3 });
}

#[test]
fn an_option_that_comes_in_pieces_counts_once() {
    let mut session = Session::greeted(limited(2), 3);
    for request in [bytes::option(&info("disk", &[])), bytes::raw(OptionCode(99), b"payload")] {
        let events = request.iter().filter_map(|byte| session.send(&[*byte])).count();
        if events == 1 {
            session.offer(&plain()).unwrap();
        }
    }
    session.fails(&bytes::option(&OptionRequest::List), PeerMisbehaved::TooManyOptions { limit: 2 });
}

#[test]
fn tls_does_not_begin_a_new_count() {
    let mut session = Session::greeted(limited(2).with_tls(ServerTls::Offered), 3);
    session.send(&bytes::option(&OptionRequest::StartTls));
    session.server.tls_established().unwrap();
    session.sent();
    session.acknowledged(&OptionRequest::StructuredReply);
    session.fails(&bytes::option(&OptionRequest::List), PeerMisbehaved::TooManyOptions { limit: 2 });
}
