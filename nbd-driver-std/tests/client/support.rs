//! What many tests need: an end to what might hang, and the contents of files.

use nbd_testkit::Server;
pub(crate) use nbd_testkit::must_end;

use crate::driver::Error;
use crate::driver::nbd_proto::error::{CommandError, Refused};
use crate::driver::nbd_proto::wire::number::ErrorValue;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// What is behind the server's export now.
pub(crate) fn contents(server: &Server) -> Vec<u8> {
    std::fs::read(server.data_path()).unwrap()
}

/// Compares without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "different lengths");
    if got == expected {
        return;
    }
    if let Some(at) = got.iter().zip(expected).position(|(got, expected)| got != expected) {
        panic!("byte {at} is {:#04x}, not {:#04x}", got[at], expected[at]);
    }
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Error>) -> Refused {
    match result.err() {
        Some(Error::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// The number that the server failed a command with.
#[track_caller]
pub(crate) fn server_error<T>(result: Result<T, Error>) -> ErrorValue {
    match result.err() {
        Some(Error::Command(CommandError::Server(error))) => error.error,
        other => panic!("the server did not fail it: {other:?}"),
    }
}

/// Why the connection is over, for people.
#[track_caller]
pub(crate) fn connection_error<T>(result: Result<T, Error>) -> String {
    match result.err() {
        Some(Error::Connection(error)) => error.to_string(),
        other => panic!("the connection is not over: {other:?}"),
    }
}
