//! CVE-2020-10761: a client sends a name that is as long as the protocol allows; the server puts it into the words of an
//! error, which get longer than the protocol allows, and fails an assertion of its own.
//!
//! We promise: whatever a server says of a name, and whatever words its caller has for it, the message has at most 4096
//! bytes and is whole UTF-8; this is so for options and for requests, and our own client takes all of them.

use nbd_proto::error::{Error, Unavailable};
use nbd_proto::handshake::Connect;
use nbd_proto::transmission::Failure;
use nbd_proto::wire::number::{CommandType, ErrorValue, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};

use crate::accept::bytes::{self, go, info, list_contexts};
use crate::accept::session::Session;
use crate::connect::peer::{Peer, bare};
use crate::server::client::chunks;
use crate::server::harness::each_way;
use crate::server::setup::{CHUNKED, Setup};

/// Names of 4096 bytes, of characters of one to four bytes.
fn names() -> [String; 4] {
    ["x", "\u{e9}", "\u{20ac}", "\u{1f600}"].map(|character| {
        let mut name = character.repeat(4096 / character.len());
        name.push_str(&"x".repeat(4096 - name.len()));
        name
    })
}

/// The words of one error reply.
#[track_caller]
fn words(answer: &[u8]) -> &str {
    let (header, prefix) = OptionReplyHeader::parse(answer).unwrap().unwrap();
    assert_eq!(answer.len(), prefix + header.length as usize, "one answer");
    match OptionReply::parse(header.reply, &answer[prefix..]).unwrap() {
        OptionReply::Error { message, .. } => std::str::from_utf8(message).expect("half a character"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_about_a_name_of_4096_bytes_are_cut_between_two_characters() {
    for name in names() {
        let told = format!("there is no export named \"{name}\" here");
        for request in [info(&name, &[]), go(&name, &[])] {
            let mut session = Session::fixed();
            session.ask(&request);
            session.refuse(ReplyType::ERR_UNKNOWN, &told).unwrap();
            let answer = session.sent();
            let words = words(&answer);
            assert!((4093..=4096).contains(&words.len()) && told.starts_with(words), "{} bytes", words.len());

            // A client makes of it what it makes of any refusal.
            if request.option() == OptionCode::GO {
                match Peer::fixed().then(&answer).run(Connect::new(bare(&name))).error() {
                    Error::Unavailable(Unavailable::Refused(refusal)) => assert_eq!(refusal.message, words),
                    other => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn the_engines_own_words_about_a_long_query_are_cut_as_well() {
    // A query without a namespace is quoted, and escapes make it longer still.
    for query in names().into_iter().chain(["\u{1}".repeat(4096), "\u{202e}x".repeat(1024)]) {
        let mut session = Session::structured();
        let answer = session.answered(&bytes::option(&list_contexts("disk", &[&query])));
        let words = words(&answer);
        assert!(!words.is_empty() && words.len() <= 4096, "{} bytes", words.len());
    }
}

#[test]
fn the_words_of_a_failed_request_are_cut_as_well() {
    for name in names() {
        let told = format!("{name} {name}");
        for setup in CHUNKED.map(Setup::new) {
            each_way(&setup, |link| {
                link.ask(1, CommandType::READ, 0, 512);
                let failure = Failure { error: ErrorValue::EIO, message: &told, offset: None };
                link.server.fail(link.id(0), &failure).unwrap();
                let sent = chunks(&link.send_all());
                let words = sent[0].message();
                assert!((4093..=4096).contains(&words.len()) && told.starts_with(words), "{} bytes", words.len());
            });
        }
    }
}
