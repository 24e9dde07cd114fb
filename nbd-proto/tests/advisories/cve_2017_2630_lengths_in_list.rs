//! CVE-2017-2630: a client asks for the list of exports, and the server's replies bring lengths that the client believes: it
//! read them into a buffer that was too small for them.
//!
//! We promise: lengths in the replies are held against the bounds of the protocol before the bytes come, and inner lengths
//! against the reply that they are in; nothing is made ready for a length that was only told.

use nbd_proto::error::{Error, Expected, Field, InvalidMessage, Message};
use nbd_proto::handshake::List;

use crate::connect::bytes::{LIST, REP_SERVER, reply, reply_header, server};
use crate::connect::peer::{Peer, bare_list};

#[track_caller]
fn error_of(said: Vec<u8>) -> Error {
    let peer = Peer::fixed().then(said);
    let error = peer.run(List::new(bare_list())).error();
    assert_eq!(peer.run_bytewise(List::new(bare_list())).error(), error);
    error
}

#[test]
fn a_reply_longer_than_any_entry_is_refused_by_its_header() {
    for got in [8197, 65_536, 1 << 31, u32::MAX] {
        let (message, expected) = (Message::Server, Expected::Between(4, 8196));
        let error = InvalidMessage::Length { message, expected, got: got.into() };
        assert_eq!(error_of(reply_header(LIST, REP_SERVER, got)), error.into());
    }
}

#[test]
fn a_name_longer_than_its_reply_is_refused() {
    for (length, name) in
        [(1, &b""[..]), (9, b"disk"), (0x8000_0000, b"disk"), (u32::MAX - 3, b"disk"), (u32::MAX, b"")]
    {
        let said = reply(LIST, REP_SERVER, &[&length.to_be_bytes()[..], name].concat());
        let (length, room) = (u64::from(length), name.len() as u64);
        let error = InvalidMessage::InnerLength { field: Field::ExportName, length, room };
        assert_eq!(error_of(said), error.into());
    }
}

#[test]
fn strings_may_be_as_long_as_the_protocol_has_them_and_no_longer() {
    let long = "x".repeat(4096);
    let list = Peer::fixed().then(server(&long, &long)).ack(LIST).run(List::new(bare_list())).success();
    assert_eq!((&list.exports[0].name, &list.exports[0].description), (&long, &long));
    for (name, description, field) in [(4097, 0, Field::ExportName), (0, 4097, Field::Description)] {
        let error = InvalidMessage::StringTooLong { field, length: 4097 };
        assert_eq!(error_of(server(&"x".repeat(name), &"x".repeat(description))), error.into());
    }
}
