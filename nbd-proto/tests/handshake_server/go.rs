//! `GO`.

use nbd_proto::error::Refused;
use nbd_proto::handshake::{HandshakeStyle, ReplyStyle};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{InfoType, OptionCode, ReplyType};

use crate::bytes::{self, go, info};
use crate::info::{SIZES, told, wordy};
use crate::session::{Session, look_up, plain};

#[test]
fn it_enters_the_transmission_phase() {
    let mut session = Session::fixed();
    assert_eq!(session.ask(&go("disk", &[])), look_up(OptionCode::GO, "disk"));
    session.offer(&plain()).unwrap();
    assert_eq!(session.sent(), told(OptionCode::GO, &[]));
    let negotiated = session.negotiated();
    assert_eq!(negotiated.export, "disk");
    assert_eq!(negotiated.handshake_style, HandshakeStyle::FixedNewstyle);
    assert_eq!(negotiated.reply_style, ReplyStyle::Simple);
    assert!(!negotiated.tls && negotiated.contexts.is_empty());
    assert_eq!(negotiated.available_contexts, None);
    assert_eq!(negotiated.info.size, 4096);
    assert_eq!(negotiated.info.flags, TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY);
    assert_eq!(negotiated.info.block_sizes, None);
    assert_eq!((negotiated.info.canonical_name, negotiated.info.description), (None, None));
}

#[test]
fn the_result_has_what_was_told() {
    let mut session = Session::fixed();
    let infos = [Info::Name("its name"), Info::Description(b"its words"), Info::BlockSize(SIZES)];
    let answer = session.offered(&go("disk", &[InfoType::DESCRIPTION]), &wordy());
    assert_eq!(answer, told(OptionCode::GO, &infos));
    let negotiated = session.negotiated();
    assert_eq!(negotiated.info.block_sizes, Some(SIZES));
    assert_eq!(negotiated.info.canonical_name.as_deref(), Some("its name"));
    assert_eq!(negotiated.info.description.as_deref(), Some("its words"));
    assert_eq!(negotiated.export, "disk", "the name that was asked for");
}

#[test]
fn nothing_behind_it_is_consumed() {
    let mut session = Session::fixed();
    let request = [&bytes::option(&go("disk", &[])), &b"a request"[..]].concat();
    assert!(session.send(&request).is_some());
    assert_eq!(session.unread, b"a request");
    session.offer(&plain()).unwrap();
    assert_eq!(session.send(b"another"), None);
    assert_eq!(session.unread, b"a requestanother");
}

#[test]
fn it_says_what_info_said_just_before() {
    let requests = [InfoType::NAME, InfoType::DESCRIPTION];
    for mut session in [Session::fixed(), Session::structured(), Session::extended()] {
        let mut before = session.offered(&info("disk", &requests), &wordy());
        let after = session.offered(&go("disk", &requests), &wordy());
        // But for the option that is answered.
        let mut at = 0;
        while at < before.len() {
            before[at + 11] = 7;
            at += 20 + usize::from(before[at + 19]);
        }
        assert_eq!(before, after);
    }
}

#[test]
fn a_refusal_leaves_the_client_to_try_again() {
    let mut session = Session::fixed();
    session.ask(&go("disk", &[]));
    session.refuse(ReplyType::ERR_BLOCK_SIZE_REQD, "ask first").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_BLOCK_SIZE_REQD, "ask first"));
    let infos = [Info::Name("its name"), Info::BlockSize(SIZES)];
    assert_eq!(session.offered(&go("disk", &[InfoType::BLOCK_SIZE]), &wordy()), told(OptionCode::GO, &infos));
    session.negotiated();
}

#[test]
fn whoever_asks_for_block_sizes_is_not_told_to_ask() {
    let mut session = Session::fixed();
    session.ask(&go("disk", &[InfoType::BLOCK_SIZE]));
    let refused = session.refuse(ReplyType::ERR_BLOCK_SIZE_REQD, "");
    assert_eq!(refused, Err(Refused::Answer { reason: "the client has asked for block sizes" }));
    assert_eq!(session.sent(), b"");
}

#[test]
fn it_has_to_be_supported_with_extended_headers() {
    let mut session = Session::extended();
    session.ask(&go("disk", &[]));
    let refused = session.refuse(ReplyType::ERR_UNSUP, "");
    let reason = "extended headers were agreed, so NBD_OPT_GO has to be supported";
    assert_eq!(refused, Err(Refused::Answer { reason }));
    session.refuse(ReplyType::ERR_UNKNOWN, "").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_UNKNOWN, ""));

    let mut session = Session::structured();
    session.ask(&go("disk", &[]));
    session.refuse(ReplyType::ERR_UNSUP, "").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::GO, ReplyType::ERR_UNSUP, ""));
}
