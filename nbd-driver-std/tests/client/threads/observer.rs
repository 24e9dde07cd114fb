//! An observer of a client that threads share.

use std::thread;

use nbd_testkit::{Disk, Nbdkit};

use crate::driver::ConnectOptions;
use crate::support::must_end;

#[test]
fn one_that_panics_ends_the_connection_and_not_the_program() {
    let Some(server) = Nbdkit::disk(Disk::empty(4096)).start() else { return };
    let options = ConnectOptions::new().observer(|step| {
        assert!(!format!("{step:?}").starts_with("Request"), "this observer has seen enough");
    });
    let client = options.connect(&server.uri()).unwrap();
    let reading = client.clone();
    let panicked = thread::spawn(move || reading.read_at(&mut [0; 512], 0)).join();
    assert!(panicked.is_err());
    must_end(move || client.read_at(&mut [0; 512], 0)).unwrap_err();
}
