//! `LIST`.

use nbd_proto::error::{Field, Refused};
use nbd_proto::handshake::ServerStatus;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes;
use crate::session::{Event, Session, plain};

fn asked() -> Session {
    let mut session = Session::fixed();
    assert_eq!(session.ask(&OptionRequest::List), Event::List);
    session
}

#[test]
fn names_and_descriptions_are_told_in_order() {
    let mut session = asked();
    session.list(&[("disk", "the big one"), ("", ""), ("déjà", "vu")]).unwrap();
    let expected = [
        OptionReply::Server { name: "disk", description: b"the big one" },
        OptionReply::Server { name: "", description: b"" },
        OptionReply::Server { name: "déjà", description: "vu".as_bytes() },
        OptionReply::Ack,
    ];
    assert_eq!(session.sent(), bytes::replies(OptionCode::LIST, &expected));
    assert_eq!(session.server.status(), ServerStatus::NeedInput);
}

#[test]
fn a_server_may_have_no_exports() {
    let mut session = asked();
    session.list(&[]).unwrap();
    assert_eq!(session.sent(), bytes::ack(OptionCode::LIST));
}

#[test]
fn it_can_be_refused_and_asked_again() {
    let mut session = asked();
    session.refuse(ReplyType::ERR_POLICY, "not for you").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::LIST, ReplyType::ERR_POLICY, "not for you"));
    assert_eq!(session.ask(&OptionRequest::List), Event::List);
}

#[test]
fn a_description_is_cut_between_two_characters() {
    let mut session = asked();
    let long = "\u{20ac}".repeat(2000);
    session.list(&[("x", &long)]).unwrap();
    let server = OptionReply::Server { name: "x", description: &long.as_bytes()[..4095] };
    assert_eq!(session.sent(), bytes::replies(OptionCode::LIST, &[server, OptionReply::Ack]));
}

#[test]
fn a_name_that_cannot_be_sent_is_refused_and_nothing_is_sent() {
    let refused = Err(Refused::String { field: Field::ExportName });
    for name in ["a\0b", &"a".repeat(4097)] {
        let mut session = asked();
        assert_eq!(session.list(&[("fine", ""), (name, "")]), refused);
        assert_eq!(session.sent(), b"");
        session.list(&[(&"a".repeat(4096), "")]).unwrap();
        assert!(session.sent().len() > 4096);
    }
}

#[test]
fn it_is_no_look_up() {
    let mut session = asked();
    assert_eq!(session.offer(&plain()), Err(Refused::Answer { reason: "no look-up awaits an answer" }));
    assert_eq!(session.sent(), b"");
    session.list(&[]).unwrap();
    assert_eq!(session.list(&[]), Err(Refused::Answer { reason: "no list is awaited" }));
}
