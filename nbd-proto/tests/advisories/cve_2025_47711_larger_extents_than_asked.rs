//! CVE-2025-47711: a client asks for the status of a very large range, and what lies behind the server answers with a single
//! extent that is larger still; the server fails an assertion on its length.
//!
//! We promise: whatever extents a caller gives, what a server tells fits into the lengths of the protocol and into the
//! export, and a client that gets an extent longer than it asked for makes use of it.

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Extent};
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::number::CommandType;

use crate::client::harness::{BASE, CHUNKED, Seen, Setup};
use crate::client::server::LAST;
use crate::server::client::chunks;
use crate::server::harness::each_way;
use crate::server::setup::{BASE as ID, Setup as Export};

const MOST: u64 = u32::MAX as u64;
const SIZE: u64 = 1 << 40;

/// Asks for the first `length` bytes, has the caller answer with extents of these lengths, and returns what is told.
fn told(style: ReplyStyle, length: u64, lengths: &[u64]) -> Vec<u64> {
    let extents: Vec<_> = lengths.iter().map(|length| Descriptor { length: *length, flags: 3 }).collect();
    let all = std::cell::RefCell::new(Vec::new());
    let setup = Export::new(style).with_size(SIZE).with_contexts(&["base:allocation"]);
    each_way(&setup, |link| {
        link.ask(7, CommandType::BLOCK_STATUS, 0, length);
        link.finish_status(0, &[(ID, &extents)]).unwrap();
        let (context, told) = chunks(&link.send_all())[0].extents();
        assert!(context == ID && told.iter().all(|(length, flags)| *length > 0 && *flags == 3), "{told:?}");
        *all.borrow_mut() = told.into_iter().map(|(length, _)| length).collect();
    });
    all.into_inner()
}

#[test]
fn a_server_tells_extents_of_any_length_in_32_bits() {
    for length in [512, MOST - 1, MOST] {
        for extent in [length, MOST - 1, MOST, MOST + 1, MOST + 2, SIZE, SIZE + 1, u64::MAX] {
            let told = told(ReplyStyle::Structured, length, &[extent]);
            let sum: u64 = told.iter().sum();
            assert!(told.iter().all(|length| *length <= MOST), "{told:?}");
            assert!(sum <= extent.min(SIZE), "{told:?} of {extent}");
            // It reaches to the end of what was asked, or as far as the caller knew.
            assert!(sum >= extent.min(length), "{told:?} of {extent} where {length} were asked for");
            let last = told.last().unwrap();
            assert!(sum - last < length, "{told:?}: one begins behind the request");
        }
    }
}

#[test]
fn a_server_tells_them_whole_in_64_bits_and_never_past_the_end() {
    for length in [512, MOST, MOST + 1, SIZE] {
        for extent in [length, SIZE - 1, SIZE, SIZE + 1, u64::MAX] {
            assert_eq!(told(ReplyStyle::Extended, length, &[extent]), [extent.min(SIZE)], "{length} {extent}");
        }
    }
}

#[test]
fn a_client_takes_an_extent_that_is_larger_than_it_asked_for() {
    for style in CHUNKED {
        let mut setup = Setup { size: SIZE, ..Setup::new(style) };
        setup.contexts.truncate(1);
        for (asked, length) in [(512, 4096), (512, MOST), (MOST - 1, MOST), (MOST, MOST)] {
            let mut link = setup.link();
            let cookie = link.submit(Command::block_status(0, asked));
            link.feed(&link.status(cookie, LAST, BASE, &[(length, 3)]));
            assert_eq!(link.error, None);
            let expected = Seen::Extents(cookie, BASE, vec![Extent { offset: 0, length, flags: 3 }]);
            assert_eq!(link.seen(), [expected, Seen::Done(cookie, Ok(()))]);
        }
    }
}
