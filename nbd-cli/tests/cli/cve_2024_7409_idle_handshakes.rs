//! CVE-2024-7409, of `nbd serve`: clients who connect and say nothing hold the server.
//!
//! We promise: others are served meanwhile, however many they are, and a signal ends the server all the same.

use std::path::Path;

use nbd_driver_std::Client;

use crate::common::nbd;
use crate::raw::Raw;
use crate::serve::socket_in;
use crate::serving::{Serving, must_end};

#[test]
fn silent_clients_hold_up_neither_others_nor_the_end() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let socket = socket_in(dir.path());
        let mut server =
            Serving::start(["--unix", &socket, "--max-connections=2", "--handshake-timeout=3600", "memory:1M"]);
        let uri = server.line();
        let client = Client::connect(&uri).unwrap();
        let mut idle: Vec<_> = (0..20).map(|_| Raw::greeted(Path::new(&socket))).collect();
        client.write_at(&[7; 512], 0).unwrap();
        assert_eq!(nbd(["info", "--size", &uri]).ok().text(), "1048576\n");
        let last = idle.pop().unwrap();
        idle.into_iter().for_each(Raw::hung_up);
        client.shutdown().unwrap();
        server.stop().ok();
        last.hung_up();
    });
}
