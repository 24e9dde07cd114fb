//! Zeroes are not sent where the client can do without.

use crate::disk::TestDisk;
use crate::raw::{Chunk, READ, Raw};
use crate::support::{KIB, MIB, assert_same, must_end, serve};

const DATA: u16 = 1;
const HOLE: u16 = 2;

fn sparse() -> TestDisk {
    let mut bytes = nbd_testkit::pattern(MIB as usize, 1);
    bytes[64 * KIB as usize..128 * KIB as usize].fill(0);
    TestDisk::new(bytes)
}

/// All chunks of the answer to one request.
fn answer(raw: &mut Raw) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while chunks.last().is_none_or(|chunk: &Chunk| !chunk.last) {
        chunks.push(raw.chunk());
    }
    chunks
}

#[test]
fn runs_of_zeroes_are_sent_as_holes() {
    must_end(|| {
        let disk = sparse().share();
        let server = serve(disk.clone());
        let mut raw = Raw::structured(&server.socket());
        raw.request(READ, 1, 60 * KIB, 80 << 10);
        let mut got = vec![0xee; 80 << 10];
        let mut kinds = Vec::new();
        for chunk in answer(&mut raw) {
            assert_eq!(chunk.cookie, 1);
            let Some((offset, rest)) = chunk.payload.split_first_chunk() else { continue };
            let at = (u64::from_be_bytes(*offset) - 60 * KIB) as usize;
            kinds.push((chunk.kind, at));
            match chunk.kind {
                DATA => got[at..at + rest.len()].copy_from_slice(rest),
                _ => {
                    let length = u32::from_be_bytes(rest.try_into().unwrap()) as usize;
                    got[at..at + length].fill(0);
                }
            }
        }
        assert_eq!(kinds, [(DATA, 0), (HOLE, 4096), (DATA, 68 << 10)]);
        assert_same(&got, &disk.bytes()[60 << 10..140 << 10]);
        server.end();
    });
}

#[test]
fn a_read_of_nothing_but_zeroes_is_one_hole() {
    must_end(|| {
        for disk in [sparse(), sparse().immediate()] {
            let server = serve(disk.share());
            let mut raw = Raw::structured(&server.socket());
            raw.request(READ, 7, 64 * KIB + 1, 100);
            let chunks = answer(&mut raw);
            let payload = [&(64 * KIB + 1).to_be_bytes()[..], &100u32.to_be_bytes()].concat();
            assert!(chunks.iter().any(|chunk| chunk.kind == HOLE && chunk.payload == payload), "{chunks:?}");
            assert!(chunks.iter().all(|chunk| chunk.kind != DATA), "{chunks:?}");
            server.end();
        }
    });
}

#[test]
fn a_client_of_simple_replies_gets_its_zeroes() {
    must_end(|| {
        let server = serve(sparse().share());
        let mut raw = Raw::simple(&server.socket());
        raw.request(READ, 7, 64 * KIB, 8192);
        assert_eq!(raw.simple_reply(), (0, 7));
        assert_eq!(raw.many(8192), [0; 8192]);
        server.end();
    });
}

/// A buffer that is used again holds what was in it before: the zeroes of a hole must not come from there.
#[test]
fn what_was_read_before_never_shows() {
    must_end(|| {
        let server = serve(sparse().immediate().share());
        let client = server.connect();
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..20 {
            client.read_at(&mut buffer, 0).unwrap();
            client.read_at(&mut buffer, 64 * KIB).unwrap();
            assert!(buffer.iter().all(|byte| *byte == 0));
        }
        client.shutdown().unwrap();
        server.end();
    });
}
