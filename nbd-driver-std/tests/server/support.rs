//! What many tests need: an end to what might hang, and a server in one line.

use std::sync::Arc;

pub(crate) use nbd_testkit::{HANG, must_end};
use tempfile::TempDir;

use crate::driver::backend::Backend;
use crate::driver::nbd_proto::error::CommandError;
use crate::driver::nbd_proto::transmission::Checks;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Error, Export, Listener, Running, Server, ServerOptions};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

/// Bytes that differ from place to place and are never zero, made much faster than a pattern of the kit.
pub(crate) fn stripes(length: usize, seed: u64) -> Vec<u8> {
    let stripe = nbd_testkit::pattern(40_009, seed);
    let mut stripes = stripe.repeat(length / stripe.len() + 1);
    stripes.truncate(length);
    stripes
}

/// A server on a Unix socket in a directory of its own.
pub(crate) struct TestServer {
    pub(crate) running: Running,
    pub(crate) uri: String,
    pub(crate) dir: TempDir,
}

/// Serves one export, by the name `disk`.
pub(crate) fn serve(backend: Arc<dyn Backend>) -> TestServer {
    serve_with(ServerOptions::new(), [Export::shared("disk", backend)])
}

pub(crate) fn serve_with(options: ServerOptions, exports: impl IntoIterator<Item = Export>) -> TestServer {
    let dir = TempDir::new().unwrap();
    let listener = Listener::unix(dir.path().join("socket")).unwrap();
    let uri = listener.uri("disk").unwrap();
    let server = exports.into_iter().fold(Server::new(options), Server::export);
    TestServer { running: server.start([listener]).unwrap(), uri, dir }
}

impl TestServer {
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.uri).unwrap()
    }

    /// The address of an export of another name.
    pub(crate) fn uri_of(&self, export: &str) -> String {
        self.uri.replace("///disk?", &format!("///{export}?"))
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("socket")
    }

    /// Stops it, and checks that all has ended.
    #[track_caller]
    pub(crate) fn end(self) {
        self.running.stop();
        assert_eq!(self.running.wait().unwrap().left_behind, 0);
    }
}

/// A client that asks whatever it likes.
pub(crate) fn unchecked() -> ConnectOptions {
    ConnectOptions::new().checks(Checks::empty())
}

/// The number that the server failed a command with.
#[track_caller]
pub(crate) fn server_error<T>(result: Result<T, Error>) -> ErrorValue {
    match result.err() {
        Some(Error::Command(CommandError::Server(error))) => error.error,
        other => panic!("the server did not fail it: {other:?}"),
    }
}

/// What an error says.
#[track_caller]
pub(crate) fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error.to_string(),
    }
}

/// Compares without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "different lengths");
    if let Some(at) = got.iter().zip(expected).position(|(got, expected)| got != expected) {
        panic!("byte {at} is {:#04x}, not {:#04x}", got[at], expected[at]);
    }
}
