//! CVE-2022-26495: the length of a name is 2^32-1, the server adds one for a NUL, and the sum wraps around to 0: a buffer of
//! no bytes is made, and the name written to it.
//!
//! We promise: a length never wraps, whatever is computed from it, in `EXPORT_NAME`, `INFO` and `GO` and wherever else an
//! option has one; the option is refused and the server stays usable, or the session ends.

use nbd_proto::error::{Field, InvalidMessage};
use nbd_proto::wire::number::{OptionCode, ReplyType};

use crate::accept::bytes::{self, go};
use crate::accept::session::{Session, plain};

/// Lengths that wrap with a few bytes more, as 32 bits or as 31.
const LENGTHS: [u32; 6] = [u32::MAX, u32::MAX - 1, u32::MAX - 3, u32::MAX - 5, 0x7fff_ffff, 0x8000_0000];

#[test]
fn a_name_of_nearly_4_gib_is_refused_in_every_option_that_has_one() {
    let mut session = Session::structured();
    for length in LENGTHS.map(u32::to_be_bytes) {
        for option in [OptionCode::INFO, OptionCode::GO, OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
            for rest in [&b""[..], b"\0\0", b"disk\0\0\0\0"] {
                let payload = [&length[..], rest].concat();
                assert_eq!(session.refused(&bytes::raw(option, &payload)), ReplyType::ERR_INVALID, "{option}");
            }
        }
    }
    session.offered(&go("disk", &[]), &plain());
    assert_eq!(session.negotiated().export, "disk");
}

#[test]
fn export_name_of_nearly_4_gib_ends_the_session_by_its_header() {
    for length in LENGTHS {
        let error = InvalidMessage::StringTooLong { field: Field::ExportName, length: length.into() };
        Session::fixed().fails(&bytes::header(OptionCode::EXPORT_NAME, length), error);
    }
}

#[test]
fn counts_and_lengths_behind_the_name_do_not_wrap_either() {
    let mut session = Session::structured();
    for option in [OptionCode::INFO, OptionCode::GO] {
        for count in [0xffff_u16, 0x8000] {
            let payload = [&b"\0\0\0\x04disk"[..], &count.to_be_bytes(), &[0; 6]].concat();
            assert_eq!(session.refused(&bytes::raw(option, &payload)), ReplyType::ERR_INVALID, "{option}");
        }
    }
    for option in [OptionCode::LIST_META_CONTEXT, OptionCode::SET_META_CONTEXT] {
        for number in LENGTHS.map(u32::to_be_bytes) {
            // How many queries there are, and how long the first one is.
            let count = [&b"\0\0\0\x04disk"[..], &number, b"\0\0\0\x02a:"].concat();
            let query = [&b"\0\0\0\x04disk\0\0\0\x01"[..], &number, b"a:"].concat();
            for payload in [count, query] {
                assert_eq!(session.refused(&bytes::raw(option, &payload)), ReplyType::ERR_INVALID, "{option}");
            }
        }
    }
    session.offered(&go("disk", &[]), &plain());
    session.negotiated();
}
