//! What cannot be had.

use nbd_proto::error::{Error, TlsUnavailable, Unavailable};
use nbd_proto::handshake::{
    Connect, ConnectSettings, List, ListSettings, ServerHandshakeSettings, ServerTls, TlsPolicy,
};
use nbd_proto::wire::number::ReplyType;
use nbd_proto::wire::option::OptionRequest;

use crate::client::bytes::{GO, LIST, POLICY, STARTTLS, TLS_REQD, UNKNOWN, UNSUP, greeting, oldstyle, reply, server};
use crate::client::peer::{Peer, bare};
use crate::session::Session;
use crate::{Provoked, bytes, row};

fn unavailable(error: Error) -> Unavailable {
    match error {
        Error::Unavailable(unavailable) => unavailable,
        other => panic!("{other:?}"),
    }
}

fn connecting(settings: ConnectSettings, peer: &Peer) -> Unavailable {
    unavailable(peer.run(Connect::new(settings)).error())
}

fn without_tls(unavailable: Unavailable) -> TlsUnavailable {
    match unavailable {
        Unavailable::Tls(why) => why,
        other => panic!("{other:?}"),
    }
}

fn turned_away() -> Unavailable {
    let mut session = Session::fixed();
    session.ask(&OptionRequest::ExportName("disk"));
    session.refuse(ReplyType::ERR_UNKNOWN, "try \"other\"").unwrap();
    unavailable(session.try_send(b"").unwrap_err())
}

fn not_fixed_client() -> Unavailable {
    let mut session = Session::new(ServerHandshakeSettings::default().with_tls(ServerTls::Required));
    unavailable(session.try_send(&bytes::client_flags(0)).unwrap_err())
}

pub(crate) fn table() -> Vec<Provoked> {
    let tls = || bare("").with_tls(TlsPolicy::Required);
    let listed = Peer::fixed().refuse(GO, UNSUP).then(server("a", "")).ack(LIST);
    let no_list = Peer::fixed().refuse(GO, UNSUP).ack(LIST);
    let not_fixed = Peer::says(greeting(0));
    let no_tls = Peer::fixed().then(reply(STARTTLS, POLICY, b"not today"));
    vec![
        row(
            "Refused",
            &connecting(bare("disk"), &Peer::fixed().then(reply(GO, UNKNOWN, b"gone\n"))),
            "the server has no such export (NBD_OPT_GO): gone\\n",
        ),
        row(
            "Tls",
            &connecting(tls(), &not_fixed),
            "TLS is required, but the server's handshake is newstyle but not fixed, which knows no TLS; nothing was \
            sent in clear",
        ),
        row(
            "Tls",
            &connecting(tls(), &no_tls),
            "TLS is required, but the server's policy denies NBD_OPT_STARTTLS: not today; nothing was sent in clear",
        ),
        row(
            "ServerRequiresTls",
            &connecting(bare(""), &Peer::fixed().refuse(GO, TLS_REQD)),
            "the server wants TLS before NBD_OPT_GO; connect to it with TLS",
        ),
        row("NoSuchExport", &connecting(bare("disk"), &listed), "the server has no export named \"disk\" (it lists 1)"),
        row(
            "ExportNameOnOldstyle",
            &connecting(bare("disk"), &Peer::says(oldstyle(512, 1))),
            "the server is oldstyle and has one export without a name, so \"disk\" cannot be asked for",
        ),
        row(
            "CannotList",
            &unavailable(not_fixed.run(List::new(ListSettings::default())).error()),
            "the server's handshake is newstyle but not fixed, which knows no way to list exports",
        ),
        row(
            "TurnedAway",
            &turned_away(),
            "the client was turned away from export \"disk\": NBD_REP_ERR_UNKNOWN (try \"other\")",
        ),
        row(
            "ExportNameRejected",
            &connecting(bare("disk"), &no_list),
            "the server closed the connection when asked for export \"disk\"; it may have none of that name",
        ),
        row(
            "Oldstyle",
            &without_tls(connecting(tls(), &Peer::says(oldstyle(512, 1)))),
            "the server's handshake is oldstyle, which knows no TLS",
        ),
        row(
            "NotFixed",
            &without_tls(connecting(tls(), &not_fixed)),
            "the server's handshake is newstyle but not fixed, which knows no TLS",
        ),
        row(
            "ClientNotFixed",
            &without_tls(not_fixed_client()),
            "the client does not speak fixed newstyle, which TLS needs",
        ),
        row(
            "Refused",
            &without_tls(connecting(tls(), &no_tls)),
            "the server's policy denies NBD_OPT_STARTTLS: not today",
        ),
    ]
}
