//! How a connection ends.

use nbd_proto::error::{Ended, Error};
use nbd_proto::handshake::{Connect, Flow};
use nbd_proto::wire::option::OptionRequest;

use crate::client::bytes::{LIST, greeting, oldstyle};
use crate::client::peer::{Peer, bare};
use crate::session::Session;
use crate::{Provoked, bytes, row};

fn connecting(peer: &Peer) -> Error {
    peer.run(Connect::new(bare("disk"))).error()
}

fn ended(error: Error) -> Ended {
    match error {
        Error::Ended(ended) => ended,
        other => panic!("{other:?}"),
    }
}

fn left() -> Error {
    let mut session = Session::fixed();
    session.send(&bytes::option(&OptionRequest::Abort));
    session.server.eof()
}

pub(crate) fn table() -> Vec<Provoked> {
    let boundary = connecting(&Peer::fixed());
    let within = connecting(&Peer::says(&greeting(3)[..9]));
    let given_up = Connect::new(bare("disk")).give_up("no route to \u{1b}host");
    vec![
        row(
            "InvalidMessage",
            &connecting(&Peer::says(b"HTTP/1.1 400 Bad Request")),
            "the other side does not speak NBD correctly: the greeting NBDMAGIC expected, but the bytes begin with \
            0x485454502f312e31; is this an NBD server?",
        ),
        row(
            "PeerMisbehaved",
            &connecting(&Peer::fixed().ack(LIST)),
            "the other side broke the NBD protocol: a reply to NBD_OPT_LIST came where one to NBD_OPT_GO was awaited",
        ),
        row(
            "Unavailable",
            &connecting(&Peer::says(oldstyle(512, 1))),
            "the server is oldstyle and has one export without a name, so \"disk\" cannot be asked for",
        ),
        row("Ended", &boundary.clone(), "the other side closed the connection while an option reply was awaited"),
        row("AtBoundary", &ended(boundary), "the other side closed the connection while an option reply was awaited"),
        row("InMessage", &ended(within), "the other side closed the connection in the middle of the greeting"),
        row("ByUs", &ended(left()), "the connection was closed by this side"),
        row("GivenUp", &ended(given_up), "no route to \\u{1b}host"),
    ]
}
