//! Options that nobody looks at are skipped as they come, and answered behind their last byte.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::{ServerHandshakeSettings, ServerStatus};
use nbd_proto::limits::{MAX_OPTION_PAYLOAD, ServerHandshakeLimits};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes;
use crate::session::Session;

const UNKNOWN: OptionCode = OptionCode(0x1234);

#[test]
fn an_unknown_option_is_unsupported() {
    let mut session = Session::fixed();
    for option in [UNKNOWN, OptionCode(0), OptionCode(u32::MAX), OptionCode::PEEK_EXPORT] {
        for length in [0, 1, 5000, 100_000] {
            assert_eq!(session.refused(&bytes::raw(option, &vec![7; length])), ReplyType::ERR_UNSUP);
        }
    }
    session.acknowledged(&OptionRequest::StructuredReply);
}

#[test]
fn it_is_never_held_and_answered_once_wherever_it_is_cut() {
    let option = bytes::raw(UNKNOWN, b"some payload");
    let whole = Session::fixed().answered(&option);
    for at in 0..option.len() {
        let mut session = Session::fixed();
        assert_eq!(session.send(&option[..at]), None);
        assert_eq!(session.unread.len(), if at < 16 { at } else { 0 }, "payload was not consumed at {at}");
        assert_eq!(session.sent(), b"", "answered at {at}");
        assert_eq!(session.server.status(), ServerStatus::NeedInput);
        assert_eq!(session.answered(&option[at..]), whole);
    }
}

#[test]
fn what_stands_behind_it_is_taken_for_itself() {
    let mut session = Session::fixed();
    let two = [bytes::raw(UNKNOWN, b"IHAVEOPT"), bytes::option(&OptionRequest::StructuredReply)].concat();
    let answer = session.answered(&two);
    assert!(answer.ends_with(&bytes::ack(OptionCode::STRUCTURED_REPLY)));
    assert!(answer.len() > 40);
}

#[test]
fn a_known_option_that_is_too_long_is_too_big() {
    let payload = vec![0; MAX_OPTION_PAYLOAD as usize + 1];
    for option in [
        OptionCode::LIST,
        OptionCode::INFO,
        OptionCode::GO,
        OptionCode::STRUCTURED_REPLY,
        OptionCode::LIST_META_CONTEXT,
        OptionCode::SET_META_CONTEXT,
        OptionCode::EXTENDED_HEADERS,
    ] {
        let mut session = Session::structured();
        assert_eq!(session.refused(&bytes::raw(option, &payload)), ReplyType::ERR_TOO_BIG);
        assert_eq!(session.refused(&bytes::raw(option, &payload[1..])), ReplyType::ERR_INVALID);
    }
}

#[test]
fn too_much_to_skip_ends_the_session_by_the_header_alone() {
    let (option, limit) = (UNKNOWN, 1 << 20);
    for length in [limit + 1, u32::MAX] {
        let error = PeerMisbehaved::OptionTooLong { option, length, limit };
        Session::fixed().fails(&bytes::header(option, length), error);
    }
    let mut session = Session::fixed();
    assert_eq!(session.refused(&bytes::raw(option, &vec![0; limit as usize])), ReplyType::ERR_UNSUP);
}

#[test]
fn the_bound_can_be_set_and_holds_for_every_reason_to_skip() {
    let limits = ServerHandshakeLimits::default().with_skipped_payload(9);
    for option in [UNKNOWN, OptionCode::ABORT, OptionCode::SET_META_CONTEXT] {
        let session = Session::greeted(ServerHandshakeSettings::default().with_limits(limits), 3);
        let error = PeerMisbehaved::OptionTooLong { option, length: 10, limit: 9 };
        session.fails(&bytes::header(option, 10), error);
    }
    let mut session = Session::greeted(ServerHandshakeSettings::default().with_limits(limits), 3);
    assert_eq!(session.refused(&bytes::raw(UNKNOWN, &[0; 9])), ReplyType::ERR_UNSUP);
}
