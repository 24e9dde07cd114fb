//! An observer sees the protocol's steps, and is as good as not there otherwise.

use std::sync::mpsc::channel;

use nbd_testkit::{Disk, Nbdkit};

use crate::driver::ConnectOptions;

#[test]
fn each_step_is_seen_from_the_greeting_to_the_end_of_a_command() {
    let Some(server) = Nbdkit::disk(Disk::empty(1 << 20)).start() else { return };
    let (sender, seen) = channel();
    // Whoever does not look any more costs nothing.
    let options = ConnectOptions::new().observer(move |step| drop(sender.send(format!("{step:?}"))));
    let client = options.connect(&server.uri()).unwrap();
    let handshake: Vec<_> = seen.try_iter().collect();
    assert!(handshake[0].starts_with("Greeting"), "{handshake:#?}");
    assert!(handshake[1].starts_with("ClientFlags"), "{handshake:#?}");
    let go = handshake.iter().position(|step| step.starts_with("OptionRequest") && step.contains("Go("));
    let facts = handshake.iter().position(|step| step.starts_with("OptionReply") && step.contains("1048576"));
    assert!(go.is_some() && go < facts, "{handshake:#?}");

    client.read_at(&mut [0; 512], 4096).unwrap();
    let read: Vec<_> = seen.try_iter().collect();
    assert!(read[0].starts_with("Request") && read[0].contains("offset: 4096"), "{read:#?}");
    assert!(read.last().is_some_and(|step| step.contains("success: true")), "{read:#?}");
}

#[test]
fn every_connection_and_list_of_the_same_options_is_seen() {
    let Some(server) = Nbdkit::disk(Disk::empty(4096)).start() else { return };
    let (sender, seen) = channel();
    let options = ConnectOptions::new().observer(move |step| drop(sender.send(format!("{step:?}"))));
    options.clone().connect(&server.uri()).unwrap();
    options.connect(&server.uri()).unwrap();
    options.list(&server.uri()).unwrap();
    assert_eq!(seen.try_iter().filter(|step| step.starts_with("Greeting")).count(), 3);
}
