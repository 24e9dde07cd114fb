//! Offers that break the specification are the caller's fault: nothing is sent of them.

use nbd_proto::error::{Field, Refused};
use nbd_proto::handshake::{Offer, ServerStatus};
use nbd_proto::wire::info::BlockSizes;

use crate::bytes::{go, info, list_contexts, set_contexts};
use crate::session::{Session, plain};

/// Whatever is asked, the offer is refused, and another can be made.
#[track_caller]
fn is_refused(offer: &Offer, refused: &Refused) {
    for request in [go("", &[]), info("", &[]), list_contexts("", &[]), set_contexts("", &["a:b"])] {
        let mut session = Session::structured();
        session.ask(&request);
        assert_eq!(session.offer(offer), Err(refused.clone()));
        assert_eq!(session.server.status(), ServerStatus::NeedAnswer);
        assert_eq!(session.sent(), b"");
        session.offer(&plain()).unwrap();
        assert_ne!(session.sent(), b"");
    }
}

#[test]
fn block_sizes() {
    let refused = Refused::Answer { reason: "its block sizes break the specification" };
    for (minimum, preferred, maximum) in
        [(0, 4096, 1 << 25), (3, 4096, 1 << 25), (1 << 17, 1 << 17, 1 << 25), (1, 256, 1 << 25), (1, 4096, 2048)]
    {
        is_refused(&plain().with_block_sizes(BlockSizes { minimum, preferred, maximum }), &refused);
    }
}

#[test]
fn canonical_names() {
    let refused = Refused::String { field: Field::ExportName };
    is_refused(&plain().with_canonical_name("a\0b"), &refused);
    is_refused(&plain().with_canonical_name("a".repeat(4097)), &refused);
}

#[test]
fn names_of_contexts() {
    let refused = Refused::String { field: Field::ContextName };
    is_refused(&plain().with_context("a:\0b"), &refused);
    is_refused(&plain().with_context(format!("a:{}", "b".repeat(4095))), &refused);
    let refused = Refused::Answer { reason: "a metadata context is not named namespace:leaf" };
    for name in ["", "allocation", ":allocation", "base:", ":"] {
        is_refused(&plain().with_context("base:allocation").with_context(name), &refused);
    }
}

#[test]
fn a_context_that_is_there_twice() {
    let refused = Refused::Answer { reason: "a metadata context is offered twice" };
    is_refused(&plain().with_context("a:b").with_context("a:c").with_context("a:b"), &refused);
}

#[test]
fn the_longest_names_are_fine() {
    let offer = plain().with_canonical_name("a".repeat(4096)).with_context(format!("a:{}", "b".repeat(4094)));
    let mut session = Session::structured();
    assert!(session.offered(&list_contexts("", &[]), &offer).len() > 4096);
    assert!(session.offered(&go("", &[]), &offer).len() > 4096);
}
