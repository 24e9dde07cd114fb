//! The contexts of libnbd, July 2023: a server sends a block status for a metadata context that was never negotiated, or
//! though none was, and the client follows it into a list that is not there.
//!
//! We promise: such a chunk ends the session, and nobody is told of its extents. A server answers no block status for which
//! nothing was negotiated.

use nbd_proto::error::{Error, PeerMisbehaved, Refused};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::number::{CommandType, ContextId};

use crate::client::harness::{BASE, CHUNKED, Link, Seen, Setup, fault};
use crate::client::server::LAST;
use crate::server::setup::Setup as Export;
use crate::server::verdict::asked;

const STATUS: Command = Command::block_status(0, 4096);

fn without_contexts(style: ReplyStyle) -> Setup {
    Setup { contexts: Vec::new(), ..Setup::new(style) }
}

#[test]
fn a_context_that_was_not_selected_ends_the_session() {
    for style in CHUNKED {
        for context in [0, 1, BASE.0 - 1, BASE.0 + 1, u32::MAX].map(ContextId) {
            let play = |link: &Link, cookies: &[_]| link.status(cookies[0], LAST, context, &[(4096, 0)]);
            let error = fault(&Setup::new(style), &[STATUS], play);
            assert_eq!(error, PeerMisbehaved::ContextNotAsked { context }.into());
            let mut link = Setup::new(style).link();
            let cookie = link.submit(STATUS);
            link.feed(&link.status(cookie, LAST, context, &[(4096, 0)]));
            assert!(!link.events.iter().any(|event| matches!(event, Seen::Extents(..))), "{:?}", link.events);
        }
    }
}

#[test]
fn a_block_status_where_none_was_negotiated_ends_the_session() {
    for style in CHUNKED {
        let setup = without_contexts(style);
        // Nobody can ask for one, so it comes in answer to something else.
        assert_eq!(setup.link().client.submit(STATUS), Err(Refused::NoContexts));
        for command in [Command::read(0, 4096), Command::flush()] {
            for context in [ContextId(0), BASE] {
                let play = |link: &Link, cookies: &[_]| link.status(cookies[0], LAST, context, &[(4096, 0)]);
                let error = fault(&setup, &[command], play);
                assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
            }
        }
    }
}

#[test]
fn a_server_answers_no_block_status_that_was_not_negotiated() {
    for style in CHUNKED {
        asked(CommandType::BLOCK_STATUS, 0, 4096).expect(&Export::new(style).with_contexts(&[]), Some(22));
    }
    asked(CommandType::BLOCK_STATUS, 0, 4096).expect(&Export::new(ReplyStyle::Simple), Some(22));
}
