//! Brings the kernel back to the state it was in before a test.

use std::fs;
use std::time::Duration;

use nbd_kernel::{Detach, Error, Status};

/// Leaves no device attached, or panics.
pub(crate) fn between_tests() {
    for status in Status::all().unwrap() {
        let detach = Detach::new().force(true).patience(Duration::from_secs(20));
        match detach.detach(status.device) {
            Ok(detached) => assert_eq!(detached.still_held, Vec::<String>::new(), "{}", status.device),
            // It has ended by itself meanwhile.
            Err(Error::NotAttached(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let notes = fs::read_dir("/run/nbd").into_iter().flatten().map(|entry| entry.unwrap().path());
    // What was lowered stays lowered until the next device of that name.
    for note in notes.filter(|note| note.extension().is_none_or(|extension| extension != "lowered")) {
        fs::remove_file(note).unwrap();
    }
}
