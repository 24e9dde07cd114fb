//! Golden octets of every message, in both directions. They are written by hand from the specification, never
//! taken from the code under test.
//!
//! Each case is parsed whole, in every prefix and with bytes behind it, and emitted into a buffer that holds
//! something already. Each length inside a payload is then set to 0, one more, one less and its maximum.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod chunk;
mod greeting;
#[path = "../common/octets.rs"]
mod octets;
mod option_reply;
mod option_request;
mod reply;
mod request;

use std::fmt::Debug;

use nbd_proto::error::InvalidMessage;
use nbd_proto::wire::Parsed;

/// What stands in an output buffer before a message is appended.
const DIRT: &[u8] = b"\xde\xad\xbe\xef dirt";

/// Checks a message that stands by itself in the stream: parsed whole, byte by byte, with bytes behind it, and
/// emitted.
#[track_caller]
fn streamed<T: Debug + PartialEq>(
    golden: &[u8],
    value: &T,
    parse: impl Fn(&[u8]) -> Parsed<T>,
    emit: impl FnOnce(&T, &mut Vec<u8>),
) {
    let (parsed, consumed) = parse(golden).unwrap().expect("a whole message");
    assert_eq!((&parsed, consumed), (value, golden.len()));
    for length in 0..golden.len() {
        assert_eq!(parse(&golden[..length]), Ok(None), "after {length} bytes of {}", golden.len());
    }
    for behind in [&[0][..], &[0xff; 300], golden] {
        let input = [golden, behind].concat();
        let (parsed, consumed) = parse(&input).unwrap().expect("a whole message");
        assert_eq!((&parsed, consumed), (value, golden.len()), "with {} bytes behind", behind.len());
    }
    emitted(golden, |out| emit(value, out));
}

/// Checks a payload, whose length is known from elsewhere.
///
/// `cuts` are the lengths at which a prefix is a sound payload too; there it must give another value, and
/// everywhere else an error.
#[track_caller]
fn payload<'a, T: Debug + PartialEq>(
    golden: &'a [u8],
    value: &T,
    cuts: impl IntoIterator<Item = usize>,
    parse: impl Fn(&'a [u8]) -> Result<T, InvalidMessage>,
) {
    assert_eq!(parse(golden).as_ref(), Ok(value));
    let mut sound = Vec::new();
    for length in 0..golden.len() {
        if let Ok(parsed) = parse(&golden[..length]) {
            assert_ne!(&parsed, value, "after {length} bytes of {}", golden.len());
            sound.push(length);
        }
    }
    assert_eq!(sound, cuts.into_iter().collect::<Vec<_>>(), "prefixes that parse");
}

/// Checks that a message is appended to what the buffer holds.
#[track_caller]
fn emitted(golden: &[u8], emit: impl FnOnce(&mut Vec<u8>)) {
    let mut out = DIRT.to_vec();
    emit(&mut out);
    let (dirt, message) = out.split_at(DIRT.len());
    assert_eq!(dirt, DIRT);
    assert_eq!(message, golden);
}

/// The same octets with those at `at` replaced.
fn patched(octets: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut patched = octets.to_vec();
    patched[at..at + with.len()].copy_from_slice(with);
    patched
}
