//! CVE-2022-0485: a copy takes the end of a read for its success, and writes what is in the buffer of a failed one to the
//! destination, silently.
//!
//! We promise: a copy fails if any read does, and no byte that was not read is written.

use std::path::Path;

use nbd_driver_std::backend::{Backend, Failure, Features, Memory};
use nbd_driver_std::nbd_proto::wire::number::ErrorValue;
use nbd_driver_std::server::{Export, Listener, Running, Server, ServerOptions};

use crate::common::nbd;

const SIZE: usize = 8 << 20;
/// From here to the next mebibyte, nothing can be read.
const BROKEN: std::ops::Range<u64> = 3 << 20..4 << 20;

/// A disk of sevens with a broken part, which leaves something in the buffer before it fails.
struct Broken;

impl Backend for Broken {
    fn size(&self) -> u64 {
        SIZE as u64
    }

    fn features(&self) -> Features {
        Features::empty()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        if offset < BROKEN.end && offset + buffer.len() as u64 > BROKEN.start {
            buffer.fill(0xbb);
            return Err(Failure::new(ErrorValue::EIO, "broken"));
        }
        buffer.fill(7);
        Ok(())
    }

    fn write(&self, _data: &[u8], _offset: u64, _fua: bool) -> Result<(), Failure> {
        Err(Failure::new(ErrorValue::EPERM, "it is only read"))
    }
}

fn serve(dir: &Path, name: &str, backend: std::sync::Arc<dyn Backend>) -> (Running, String) {
    let listener = Listener::unix(dir.join(name)).unwrap();
    let uri = listener.uri("").unwrap();
    (Server::new(ServerOptions::new()).export(Export::shared("", backend)).start([listener]).unwrap(), uri)
}

/// What was read, or what was there before; the broken part as it was.
#[track_caller]
fn assert_nothing_made_up(got: &[u8], before: u8) {
    let allowed = |at: u64, byte: u8| byte == before || byte == 7 && !BROKEN.contains(&at);
    let wrong = (0..).zip(got).find(|(at, byte)| !allowed(*at, **byte));
    assert_eq!(wrong, None, "the place and the byte");
}

#[test]
fn what_a_failed_read_left_behind_is_written_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (_source, from) = serve(dir.path(), "source", std::sync::Arc::new(Broken));
    for how in [&[][..], &["--synchronous"], &["--request-size=4k"], &["--request-size=32M"]] {
        let copy = |to: &str| nbd([&["copy"], how, &[&from, to]].concat());
        let check = |failure: String| assert!(failure.contains("NBD_EIO") && failure.contains("reading"), "{failure}");

        let target = std::sync::Arc::new(Memory::new(SIZE as u64));
        target.write(&vec![0xa5; SIZE], 0, false).unwrap();
        let place = tempfile::tempdir().unwrap();
        let (_destination, to) = serve(place.path(), "destination", target.clone());
        check(copy(&to).failure());
        let mut got = vec![0; SIZE];
        target.read(&mut got, 0).unwrap();
        assert_nothing_made_up(&got, 0xa5);

        let file = place.path().join("file");
        check(copy(file.to_str().unwrap()).failure());
        assert_nothing_made_up(&std::fs::read(&file).unwrap(), 0);

        // In order, so it is a beginning.
        let run = copy("-");
        assert!(run.bytes.len() as u64 <= BROKEN.start && run.bytes.iter().all(|byte| *byte == 7));
        check(run.failure());
    }
}
