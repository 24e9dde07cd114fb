//! `STRUCTURED_REPLY` and `EXTENDED_HEADERS`.

use nbd_proto::handshake::{ReplyStyle, ServerHandshakeSettings};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go};
use crate::session::{Session, plain};

fn agreed(mut session: Session) -> ReplyStyle {
    session.offered(&go("", &[]), &plain());
    session.negotiated().reply_style
}

#[test]
fn each_can_be_agreed() {
    assert_eq!(agreed(Session::fixed()), ReplyStyle::Simple);
    assert_eq!(agreed(Session::structured()), ReplyStyle::Structured);
    assert_eq!(agreed(Session::extended()), ReplyStyle::Extended);
}

#[test]
fn each_can_be_agreed_twice() {
    let mut session = Session::structured();
    session.acknowledged(&OptionRequest::StructuredReply);
    assert_eq!(agreed(session), ReplyStyle::Structured);
    let mut session = Session::extended();
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    assert_eq!(agreed(session), ReplyStyle::Extended);
}

#[test]
fn extended_headers_take_precedence_over_structured_replies() {
    let mut session = Session::structured();
    session.acknowledged(&OptionRequest::ExtendedHeaders);
    assert_eq!(agreed(session), ReplyStyle::Extended);
}

#[test]
fn there_is_no_way_back_from_extended_headers() {
    let mut session = Session::extended();
    let refused = session.refused(&bytes::option(&OptionRequest::StructuredReply));
    assert_eq!(refused, ReplyType::ERR_EXT_HEADER_REQD);
    assert_eq!(agreed(session), ReplyStyle::Extended);
}

/// Whoever answers a look-up has to know what the client can be told of.
#[test]
fn what_is_agreed_can_be_seen_before_the_end() {
    for (mut session, style) in [
        (Session::fixed(), ReplyStyle::Simple),
        (Session::structured(), ReplyStyle::Structured),
        (Session::extended(), ReplyStyle::Extended),
    ] {
        session.ask(&go("disk", &[]));
        assert_eq!(session.server.reply_style(), style);
    }
}

#[test]
fn each_can_be_turned_off() {
    let settings = ServerHandshakeSettings::default();
    let mut session = Session::greeted(settings.clone().with_structured_replies(false), 3);
    assert_eq!(session.refused(&bytes::option(&OptionRequest::StructuredReply)), ReplyType::ERR_UNSUP);
    session.acknowledged(&OptionRequest::ExtendedHeaders);

    let mut session = Session::greeted(settings.with_extended_headers(false), 3);
    assert_eq!(session.refused(&bytes::option(&OptionRequest::ExtendedHeaders)), ReplyType::ERR_UNSUP);
    assert_eq!(session.refused(&bytes::raw(OptionCode::EXTENDED_HEADERS, b"x")), ReplyType::ERR_UNSUP);
    session.acknowledged(&OptionRequest::StructuredReply);
    assert_eq!(agreed(session), ReplyStyle::Structured);
}
