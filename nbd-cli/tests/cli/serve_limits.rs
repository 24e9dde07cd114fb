//! How clients are treated, as the options say.

use std::path::Path;

use nbd_driver_std::Client;

use crate::common::nbd;
use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

#[test]
fn one_client_too_many_is_told_so() {
    let mut server = Serving::start(["--tcp=:0", "--max-connections=1", "memory:1M"]);
    let uri = server.line();
    let client = Client::connect(&uri).unwrap();
    let failure = nbd(["info", "--size", &uri]).failure();
    assert!(failure.contains("the limit of clients at once is reached"), "{failure}");
    client.read_at(&mut [0; 512], 0).unwrap();
}

/// Other clients use several connections where they may, and one that is refused ends them.
#[test]
fn where_one_client_is_all_it_is_not_asked_to_come_twice() {
    for (connections, code) in [("1", Some(2)), ("2", Some(0))] {
        let mut server = Serving::start(["--tcp=:0", "--max-connections", connections, "memory:1M"]);
        assert_eq!(nbd(["info", "--can", "multi-conn", &server.line()]).code, code, "{connections}");
    }
}

#[test]
fn a_client_that_does_not_get_on_with_the_handshake_is_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "--handshake-timeout=0.2", "memory:1M"]);
    server.line();
    must_end(move || Raw::greeted(Path::new(&socket)).hung_up());
}

#[test]
fn a_client_that_wants_nothing_is_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket_in(dir.path());
    let mut server = Serving::start(["--unix", &socket, "--idle-timeout=0.2", "memory:1M"]);
    server.line();
    must_end(move || Raw::connected(Path::new(&socket)).hung_up());
}

#[test]
fn what_is_offered_can_be_less() {
    for (option, structured, extended) in
        [(&[][..], 0, 0), (&["--no-extended-headers"], 0, 2), (&["--no-structured-replies"], 2, 2)]
    {
        let mut server = Serving::start([option, &["--tcp=:0", "memory:1M"]].concat());
        let uri = server.line();
        assert_eq!(nbd(["info", "--can", "structured-reply", &uri]).code, Some(structured), "{option:?}");
        assert_eq!(nbd(["info", "--can", "extended-headers", &uri]).code, Some(extended), "{option:?}");
    }
}

#[test]
fn one_request_at_a_time_is_enough_to_copy() {
    let mut server = Serving::start(["--tcp=:0", "--max-requests=1", "memory:4M"]);
    let copied = nbd(["copy", "--no-extents", &server.line(), "-"]).ok();
    assert_eq!(copied.bytes.len(), 4 << 20);
}
