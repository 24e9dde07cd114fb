//! Every step can be seen.
#![allow(clippy::disallowed_types, reason = "an observer has to be `Send`, and the test looks at what it saw")]

use std::sync::{Arc, Mutex};

use nbd_proto::handshake::{HandshakeStyle, ServerHandshakeSettings, ServerTls};
use nbd_proto::observe::{Observation, Observer};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::bytes::{self, go};
use crate::session::{Session, plain};

/// An observer and what it has seen.
pub(crate) fn watch() -> (Option<Box<dyn Observer>>, impl FnOnce() -> Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let observer = move |what: &Observation<'_>| sink.lock().unwrap().push(short(what));
    (Some(Box::new(observer)), move || seen.lock().unwrap().clone())
}

fn short(what: &Observation<'_>) -> String {
    match what {
        Observation::Greeting(greeting) => format!("> {greeting:?}"),
        Observation::ClientFlags(flags) => format!("< {flags:?}"),
        Observation::OptionRequest(request @ OptionRequest::Unknown { .. }) => {
            format!("< {}, {} bytes, malformed", request.option(), request.payload_length())
        }
        Observation::OptionRequest(request) => format!("< {}", request.option()),
        Observation::SkippedOption { option, length } => format!("< {option}, {length} bytes, skipped"),
        Observation::OptionReply { option, reply } => format!("> {option} {}", reply.reply()),
        Observation::ExportName(facts) => format!("> {facts:?}"),
        Observation::TlsEstablished => "TLS".to_owned(),
        Observation::Fatal(error) => format!("! {error}"),
        other => panic!("{other:?} has no place in a handshake"),
    }
}

#[test]
fn a_whole_handshake_can_be_seen() {
    let mut session = Session::new(ServerHandshakeSettings::default().with_tls(ServerTls::Offered));
    let (observer, seen) = watch();
    session.server.set_observer(observer);
    session.send(&bytes::client_flags(3));
    session.send(&bytes::option(&OptionRequest::StartTls));
    session.server.tls_established().unwrap();
    session.send(&bytes::raw(OptionCode(0x1234), b"seven"));
    session.send(&bytes::raw(OptionCode::LIST, b"seven"));
    session.ask(&OptionRequest::List);
    session.list(&[("a", ""), ("b", "")]).unwrap();
    session.ask(&go("", &[]));
    session.refuse(ReplyType::ERR_UNKNOWN, "").unwrap();
    session.offered(&go("disk", &[]), &plain());
    let expected = [
        "> Newstyle(HandshakeFlags(FIXED_NEWSTYLE | NO_ZEROES))",
        "< ClientFlags(FIXED_NEWSTYLE | NO_ZEROES)",
        "< NBD_OPT_STARTTLS",
        "> NBD_OPT_STARTTLS NBD_REP_ACK",
        "TLS",
        "< option 0x1234, 5 bytes, skipped",
        "> option 0x1234 NBD_REP_ERR_UNSUP",
        "< NBD_OPT_LIST, 5 bytes, malformed",
        "> NBD_OPT_LIST NBD_REP_ERR_INVALID",
        "< NBD_OPT_LIST",
        "> NBD_OPT_LIST NBD_REP_SERVER",
        "> NBD_OPT_LIST NBD_REP_SERVER",
        "> NBD_OPT_LIST NBD_REP_ACK",
        "< NBD_OPT_GO",
        "> NBD_OPT_GO NBD_REP_ERR_UNKNOWN",
        "< NBD_OPT_GO",
        "> NBD_OPT_GO NBD_REP_INFO",
        "> NBD_OPT_GO NBD_REP_ACK",
    ];
    assert_eq!(seen(), expected);
}

#[test]
fn the_other_ways_in_and_the_end_can_be_seen() {
    let mut session = Session::new(ServerHandshakeSettings::default().with_style(HandshakeStyle::Oldstyle));
    let (observer, seen) = watch();
    session.server.set_observer(observer);
    session.send(b"");
    session.offer(&plain()).unwrap();
    session.server.eof();
    let facts = "ExportFacts { size: 4096, flags: TransmissionFlags(HAS_FLAGS | READ_ONLY) }";
    let end = "! the other side closed the connection while the first request was awaited";
    assert_eq!(seen(), [format!("> Oldstyle({facts})"), end.to_owned()]);

    let mut session = Session::fixed();
    let (observer, seen) = watch();
    session.server.set_observer(observer);
    session.offered(&OptionRequest::ExportName(""), &plain());
    assert_eq!(seen(), ["< NBD_OPT_EXPORT_NAME".to_owned(), format!("> {facts}")]);
}
