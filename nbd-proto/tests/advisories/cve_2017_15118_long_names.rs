//! CVE-2017-15118: a client asks for an export by a name of up to 4096 bytes, which the protocol allows, and the server has
//! a buffer of 256 for it.
//!
//! We promise: names of up to 4096 bytes are names, whichever option brings them; longer ones are refused where there is an
//! answer to refuse them with, and end the session where there is none.

use nbd_proto::error::{Field, InvalidMessage};
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes::{self, go, info, list_contexts, set_contexts};
use crate::accept::session::{Event, Session, plain};

const LENGTHS: [usize; 6] = [255, 256, 257, 1024, 4095, 4096];

#[test]
fn a_server_takes_names_of_up_to_4096_bytes_and_stays_usable() {
    for length in LENGTHS {
        // Of characters that take two bytes, so that half of one is never taken for a whole.
        let name = ["x".repeat(length % 2), "\u{e9}".repeat(length / 2)].concat();
        assert_eq!(name.len(), length);
        let mut session = Session::structured();
        for request in [info(&name, &[]), list_contexts(&name, &[]), set_contexts(&name, &[]), go(&name, &[])] {
            match session.ask(&request) {
                Event::LookUp { name: asked, .. } => assert_eq!(asked, name),
                Event::List => panic!("nobody asked for a list"),
            }
            session.offer(&plain()).unwrap();
        }
        assert_eq!(session.negotiated().export, name);
        let mut session = Session::fixed();
        session.offered(&OptionRequest::ExportName(&name), &plain());
        assert_eq!(session.negotiated().export, name);
    }
}

#[test]
fn a_server_refuses_longer_names_and_stays_usable() {
    for length in [4097, 5000, 16_000] {
        let name = "x".repeat(length);
        let mut session = Session::structured();
        for request in [info(&name, &[]), go(&name, &[]), list_contexts(&name, &[]), set_contexts(&name, &[])] {
            assert_eq!(session.refused(&bytes::option(&request)), ReplyType::ERR_INVALID);
        }
        session.offered(&go("disk", &[]), &plain());
        assert_eq!(session.negotiated().export, "disk");
        // There is no answer to this one, and it is not waited for.
        let error = InvalidMessage::StringTooLong { field: Field::ExportName, length: length as u64 };
        Session::fixed().fails(&bytes::header(OptionCode::EXPORT_NAME, length as u32), error);
    }
}
