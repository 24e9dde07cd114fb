//! What a server does wrong in the handshake.

use nbd_proto::error::{Error, PeerMisbehaved};
use nbd_proto::handshake::{Connect, ConnectSettings, List, TlsPolicy};
use nbd_proto::limits::HandshakeLimits;

use crate::client::bytes::{
    EXTENDED_HEADERS, GO, LIST, REP_SERVER, SET_META_CONTEXT, STARTTLS, STRUCTURED_REPLY, TLS_REQD, UNSUP, context,
    reply, server,
};
use crate::client::peer::{Peer, bare, bare_list};
use crate::{Provoked, row};

pub(crate) fn misbehaved(error: Error) -> PeerMisbehaved {
    match error {
        Error::PeerMisbehaved(misbehaved) => misbehaved,
        other => panic!("{other:?}"),
    }
}

fn connecting(settings: ConnectSettings, peer: &Peer) -> PeerMisbehaved {
    misbehaved(peer.run(Connect::new(settings)).error())
}

/// Two entries of a list, under a limit.
fn listing(limits: HandshakeLimits) -> PeerMisbehaved {
    let peer = Peer::fixed().then(server("a", "")).then(server("b", "")).ack(LIST);
    misbehaved(peer.run(List::new(bare_list().with_limits(limits))).error())
}

/// One query for contexts, and what is selected.
fn selecting(queries: &[&str], contexts: &[(u32, &str)]) -> PeerMisbehaved {
    let settings = queries
        .iter()
        .fold(bare("").with_structured_replies(true), |settings, query| settings.with_meta_context(*query));
    let peer = contexts
        .iter()
        .fold(Peer::fixed().ack(STRUCTURED_REPLY), |peer, (id, name)| peer.then(context(SET_META_CONTEXT, *id, name)));
    connecting(settings, &peer.ack(SET_META_CONTEXT))
}

pub(crate) fn table() -> Vec<Provoked> {
    let fixed = Peer::fixed;
    let tls = || bare("").with_tls(TlsPolicy::Required);
    vec![
        row(
            "WrongOption",
            &connecting(bare(""), &fixed().ack(LIST)),
            "a reply to NBD_OPT_LIST came where one to NBD_OPT_GO was awaited",
        ),
        row(
            "UnexpectedOptionReply",
            &connecting(bare(""), &fixed().then(reply(GO, REP_SERVER, &[0; 4]))),
            "NBD_REP_SERVER came in answer to NBD_OPT_GO, where NBD_REP_INFO or NBD_REP_ACK was expected",
        ),
        row(
            "AckBeforeExport",
            &connecting(bare(""), &fixed().ack(GO)),
            "NBD_OPT_GO was acknowledged before NBD_INFO_EXPORT had been sent",
        ),
        row(
            "FlagsMissing",
            &connecting(bare(""), &fixed().export(GO, 1, 2)),
            "the transmission flags 0x0002 lack NBD_FLAG_HAS_FLAGS",
        ),
        row(
            "ClearTextBehindStartTls",
            &connecting(tls(), &fixed().ack(STARTTLS).then(b"clear")),
            "bytes came in clear behind NBD_OPT_STARTTLS; somebody may be tampering",
        ),
        row(
            "TlsRequiredInsideTls",
            &connecting(tls(), &fixed().ack(STARTTLS).in_tls().refuse(GO, TLS_REQD)),
            "NBD_OPT_GO was answered with NBD_REP_ERR_TLS_REQD although TLS is in use",
        ),
        row(
            "TooManyReplies",
            &listing(HandshakeLimits::default().with_replies_per_option(1)),
            "NBD_OPT_LIST brought more than 1 replies; raise the limit if the server really has so many",
        ),
        row(
            "TooManyReplyBytes",
            &listing(HandshakeLimits::default().with_reply_bytes(40)),
            "the replies to options add up to more than 40 bytes; raise the limit if that is right",
        ),
        row(
            "WrongContext",
            &selecting(&["base:allocation"], &[(1, "base:\u{1b}[2J")]),
            "metadata context \"base:allocation\" was asked for, \"base:\\u{1b}[2J\" came",
        ),
        row(
            "SeveralContexts",
            &selecting(&["base:x"], &[(1, "base:x"), (2, "base:x")]),
            "metadata context \"base:x\" was asked for, and several came",
        ),
        row(
            "ContextIdTwice",
            &selecting(&["a:", "b:"], &[(1, "a:1"), (1, "b:1")]),
            "the server gave id 0x1 to two metadata contexts",
        ),
        row(
            "ExtendedHeadersWithoutGo",
            &connecting(bare("").with_extended_headers(true), &fixed().ack(EXTENDED_HEADERS).refuse(GO, UNSUP)),
            "the server agreed to extended headers, yet it does not support NBD_OPT_GO",
        ),
    ]
}
