//! CVE-2017-15119: a client sends options that claim up to 4 GiB of payload, and the server spends its time on reading all
//! of it, one after the other.
//!
//! We promise: what is skipped is bounded for each option, and so is their number; an option beyond the bound ends the
//! session by its header alone. Whatever is skipped, nothing of it is held.

use nbd_proto::error::{InvalidMessage, PeerMisbehaved};
use nbd_proto::handshake::ServerHandshakeSettings;
use nbd_proto::limits::ServerHandshakeLimits;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes;
use crate::accept::session::Session;

/// Options of every kind but `EXPORT_NAME`.
const OPTIONS: [OptionCode; 10] = [
    OptionCode::ABORT,
    OptionCode::LIST,
    OptionCode::STARTTLS,
    OptionCode::INFO,
    OptionCode::GO,
    OptionCode::STRUCTURED_REPLY,
    OptionCode::LIST_META_CONTEXT,
    OptionCode::SET_META_CONTEXT,
    OptionCode::EXTENDED_HEADERS,
    OptionCode(0x1234),
];

const LIMIT: u32 = 1 << 20;

#[test]
fn an_option_of_gigabytes_ends_the_session_by_its_header() {
    for length in [LIMIT + 1, 1 << 31, u32::MAX - 15, u32::MAX] {
        for option in OPTIONS {
            let error = PeerMisbehaved::OptionTooLong { option, length, limit: LIMIT };
            Session::structured().fails(&bytes::header(option, length), error);
        }
        let option = OptionCode::EXPORT_NAME;
        let error = Session::fixed().try_send(&bytes::header(option, length)).unwrap_err();
        assert!(
            matches!(error, nbd_proto::error::Error::InvalidMessage(InvalidMessage::StringTooLong { .. })),
            "{error}"
        );
    }
}

#[test]
fn an_option_that_is_merely_too_long_is_skipped_as_it_comes_and_refused() {
    for option in OPTIONS.into_iter().filter(|option| *option != OptionCode::ABORT) {
        let mut session = Session::structured();
        let mut left = LIMIT as usize;
        assert_eq!(session.send(&bytes::header(option, LIMIT)), None);
        while left > 0 {
            assert_eq!((session.sent(), session.unread.len()), (Vec::new(), 0), "{option}: answered or held");
            let piece = left.min(60_000);
            assert_eq!(session.send(&vec![0xff; piece]), None);
            left -= piece;
        }
        let answer = session.sent();
        assert!(answer[12] & 0x80 != 0, "{option} was not refused: {answer:?}");
        // It goes on where the payload ends.
        assert_eq!(session.refused(&bytes::raw(OptionCode(0x4321), b"")), ReplyType::ERR_UNSUP);
    }
}

#[test]
fn options_to_be_skipped_come_to_an_end() {
    let limits = ServerHandshakeLimits::default().with_options(100);
    let mut session = Session::greeted(ServerHandshakeSettings::default().with_limits(limits), 3);
    for _ in 0..100 {
        session.refused(&bytes::raw(OptionCode(0x1234), &vec![0; 100_000]));
    }
    session.fails(&bytes::option(&OptionRequest::List), PeerMisbehaved::TooManyOptions { limit: 100 });
    assert_eq!(ServerHandshakeLimits::default().options, 65_536, "there is a limit if nobody sets one");
}
