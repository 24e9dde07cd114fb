//! The transmission flags that a client is told.

use nbd_proto::handshake::Offer;
use nbd_proto::wire::flags::TransmissionFlags as Flags;

use crate::bytes::{go, set_contexts};
use crate::session::Session;

/// The flags that this session tells of an export with these.
fn told(mut session: Session, flags: Flags) -> Flags {
    session.offered(&go("disk", &[]), &Offer::new(1, flags));
    session.negotiated().info.flags
}

fn with_context(mut session: Session, export: &str) -> Session {
    session.offered(
        &set_contexts(export, &["base:allocation"]),
        &Offer::new(1, Flags::empty()).with_context("base:allocation"),
    );
    session
}

#[test]
fn has_flags_is_always_told() {
    assert_eq!(told(Session::fixed(), Flags::empty()), Flags::HAS_FLAGS);
}

#[test]
fn what_the_export_can_do_is_told() {
    let can = Flags::SEND_FLUSH
        | Flags::SEND_FUA
        | Flags::ROTATIONAL
        | Flags::SEND_TRIM
        | Flags::CAN_MULTI_CONN
        | Flags::SEND_CACHE
        | Flags::SEND_WRITE_ZEROES
        | Flags::SEND_FAST_ZERO;
    assert_eq!(told(Session::fixed(), can), can | Flags::HAS_FLAGS);
}

#[test]
fn send_df_goes_with_replies_in_chunks() {
    for offered in [Flags::empty(), Flags::SEND_DF] {
        assert!(!told(Session::fixed(), offered).contains(Flags::SEND_DF));
        assert!(told(Session::structured(), offered).contains(Flags::SEND_DF));
        assert!(told(Session::extended(), offered).contains(Flags::SEND_DF));
    }
}

#[test]
fn block_status_payload_goes_with_extended_headers_and_a_context_of_this_export() {
    for offered in [Flags::empty(), Flags::BLOCK_STATUS_PAYLOAD] {
        let has = |session| told(session, offered).contains(Flags::BLOCK_STATUS_PAYLOAD);
        assert!(has(with_context(Session::extended(), "disk")));
        assert!(!has(with_context(Session::extended(), "another")));
        assert!(!has(with_context(Session::structured(), "disk")));
        assert!(!has(Session::extended()));
        assert!(!has(Session::fixed()));
    }
}

#[test]
fn resize_is_never_told() {
    assert_eq!(told(Session::extended(), Flags::SEND_RESIZE), Flags::HAS_FLAGS | Flags::SEND_DF);
}

#[test]
fn fast_zeroes_need_zeroes() {
    assert_eq!(told(Session::fixed(), Flags::SEND_FAST_ZERO), Flags::HAS_FLAGS);
}
