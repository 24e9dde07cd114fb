//! CVE-2022-26496: `INFO` or `GO` with a name that is longer than the option it is in. The server takes the inner length for
//! true, and copies more than it has got to where there is no room for it.
//!
//! We promise: the name has to fit into its option, with what must stand behind it; else the option is refused, none of the
//! bytes behind it are taken for the name, and the server goes on with what follows.

use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::accept::bytes::{self, go};
use crate::accept::session::{Event, Session, plain};

#[test]
fn a_name_that_reaches_over_its_option_is_refused_and_what_follows_is_understood() {
    for option in [OptionCode::INFO, OptionCode::GO] {
        // The first two are no longer than the option, but leave no room for the count behind the name.
        for length in [5_u32, 6, 7, 100, 1025, 4096, 4097, 65_536] {
            // There would be bytes enough if those of the next options counted.
            let short = bytes::raw(option, &[&length.to_be_bytes()[..], b"disk\0\0"].concat());
            let next = bytes::option(&OptionRequest::StructuredReply);
            let mut session = Session::fixed();
            assert_eq!(session.refused(&short), ReplyType::ERR_INVALID, "{option} {length}");
            assert_eq!(session.answered(&next), bytes::ack(OptionCode::STRUCTURED_REPLY));
            let event = session.ask(&go("disk", &[]));
            assert!(matches!(&event, Event::LookUp { name, .. } if name == "disk"), "{event:?}");
            session.offer(&plain()).unwrap();
        }
    }
}
