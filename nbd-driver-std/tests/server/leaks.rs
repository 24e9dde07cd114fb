//! Connections cut anywhere leave nothing behind.

use std::io::Write as _;
use std::sync::Arc;

use fastrand::Rng;

use crate::disk::TestDisk;
use crate::driver::{Export, Listener, Server, ServerOptions};
use crate::raw::{DISC, OPT_GO, OPT_STRUCTURED_REPLY, READ, Raw, WRITE, request};
use crate::support::{MIB, must_end};

fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}")).unwrap().count()
}

/// All that a client says in a short life.
fn life() -> Vec<u8> {
    let go = [&4u32.to_be_bytes()[..], b"disk", &[0, 0]].concat();
    let mut life = 3u32.to_be_bytes().to_vec();
    for (option, payload) in [(OPT_STRUCTURED_REPLY, &[][..]), (OPT_GO, &go)] {
        life.extend(b"IHAVEOPT");
        life.extend(option.to_be_bytes());
        life.extend((payload.len() as u32).to_be_bytes());
        life.extend(payload);
    }
    for cookie in 0..10 {
        life.extend(request(READ, cookie, cookie * 1000, 50_000));
        life.extend(request(WRITE, cookie, cookie * 1000, 3000));
        life.extend([7; 3000]);
    }
    life.extend(request(DISC, 0, 0, 0));
    life
}

/// nextest runs it in a process of its own, where all threads and descriptors are the test's. Under `cargo test`,
/// other tests come and go meanwhile; there the count of those who hold the backend has to do.
#[test]
fn neither_threads_nor_descriptors_are_left() {
    must_end(|| {
        let before = (count("task"), count("fd"));
        for disk in [TestDisk::patterned(MIB, 1), TestDisk::patterned(MIB, 1).immediate()] {
            let disk = Arc::new(disk);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("socket");
            let export = Export::shared("disk", disk.clone());
            let running =
                Server::new(ServerOptions::new()).export(export).start([Listener::unix(&path).unwrap()]).unwrap();
            let life = life();
            let mut random = Rng::with_seed(5);
            for round in 0..100 {
                let mut raw = Raw::connect(&path);
                let cut = random.usize(..=life.len());
                // The server may have hung up before all is said.
                let _ = raw.0.write_all(&life[..cut]);
                // The greeting comes in any case; and when the last has its own, all were taken in.
                if random.bool() || round == 99 {
                    let _greeting: [u8; 18] = raw.bytes();
                }
            }
            running.stop();
            let summary = running.wait().unwrap();
            assert_eq!((summary.connections, summary.left_behind), (100, 0));
            assert_eq!(Arc::strong_count(&disk), 1, "the backend is still in use");
        }
        if std::env::var_os("NEXTEST").is_some() {
            assert_eq!((count("task"), count("fd")), before);
        }
    });
}
