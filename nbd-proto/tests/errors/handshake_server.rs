//! What a client does wrong in the handshake.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings, ServerTls};
use nbd_proto::limits::ServerHandshakeLimits;
use nbd_proto::wire::number::OptionCode;
use nbd_proto::wire::option::OptionRequest;

use crate::handshake_client::misbehaved;
use crate::session::Session;
use crate::{Provoked, bytes, row};

fn fails(mut session: Session, bytes: &[u8]) -> PeerMisbehaved {
    misbehaved(session.try_send(bytes).unwrap_err())
}

fn settings() -> ServerHandshakeSettings {
    ServerHandshakeSettings::default()
}

pub(crate) fn table() -> Vec<Provoked> {
    let flags = fails(Session::new(settings()), &bytes::client_flags(4));
    let not_fixed = Session::greeted(settings().with_style(HandshakeStyle::Newstyle), 2);
    let one_option = Session::greeted(settings().with_limits(ServerHandshakeLimits::default().with_options(1)), 3);
    let tls = Session::greeted(settings().with_tls(ServerTls::Offered), 3);
    let two_options = [bytes::raw(OptionCode(99), b""), bytes::raw(OptionCode(99), b"")].concat();
    let tls_and_more = [bytes::option(&OptionRequest::StartTls), bytes::raw(OptionCode(99), b"")].concat();
    vec![
        row(
            "ClientFlags",
            &flags,
            "the client answers the greeting with the flags 0x00000004, and 0x0003 were offered",
        ),
        row(
            "OptionNotFixed",
            &fails(not_fixed, &bytes::raw(OptionCode::LIST, b"")),
            "NBD_OPT_LIST came in a handshake that is not fixed newstyle, where only NBD_OPT_EXPORT_NAME may",
        ),
        row(
            "ExportNameWithExtendedHeaders",
            &fails(Session::extended(), &bytes::header(OptionCode::EXPORT_NAME, 4)),
            "the client agreed to extended headers and then used NBD_OPT_EXPORT_NAME, which rules them out",
        ),
        row(
            "OptionTooLong",
            &fails(Session::fixed(), &bytes::header(OptionCode(99), u32::MAX)),
            "option 0x63 has a payload of 4294967295 bytes; more than 1048576 are not skipped",
        ),
        row(
            "TooManyOptions",
            &fails(one_option, &two_options),
            "the client sent more than 1 options; raise the limit if it really needs so many",
        ),
        row(
            "ClearTextBehindStartTls",
            &fails(tls, &tls_and_more),
            "bytes came in clear behind NBD_OPT_STARTTLS; somebody may be tampering",
        ),
    ]
}
