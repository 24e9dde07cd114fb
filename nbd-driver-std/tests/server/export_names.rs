//! Names that no server starts with.

use crate::driver::{Error, Server, ServerOptions};
use crate::exports::sized;
use crate::support::{KIB, message};

#[test]
fn two_of_one_name_are_an_error() {
    let server = Server::new(ServerOptions::new()).export(sized("a", KIB)).export(sized("a", KIB));
    assert!(matches!(server.clone().start([]), Err(Error::DuplicateExport { name }) if name == "a"));
}

#[test]
fn whose_name_nobody_can_be_told_are_an_error() {
    for name in ["x".repeat(4097), "a\0b".into()] {
        let text = message(Server::new(ServerOptions::new()).export(sized(&name, KIB)).start([]));
        assert!(text.contains("export name"), "{text}");
    }
}
