//! CVE-2022-0485, in the role of the server: what is in a buffer after a read has failed is nobody's data. Whoever sends it
//! on gives out what was there before, perhaps another's.
//!
//! We promise: a read that the backend failed is answered by an error and by no byte of its buffer, also where a part of it
//! had been read; and what follows is understood.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Call, TestDisk};
use crate::driver::backend::Failure;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::raw::{READ, Raw};
use crate::support::{MIB, assert_same, must_end, serve};

/// Every second read fails.
fn disk() -> TestDisk {
    let fails = AtomicBool::new(false);
    // Reads below 64 KiB need not wait; others have been begun in vain before they do.
    TestDisk::patterned(MIB, 1).cached(64 << 10).hook(move |call| match call {
        Call::Read { .. } | Call::TryRead { .. } if fails.fetch_xor(true, Ordering::SeqCst) => {
            Err(Failure::new(ErrorValue::EIO, "broken"))
        }
        _ => Ok(()),
    })
}

#[test]
fn no_byte_of_a_read_that_failed_is_sent() {
    for immediate in [false, true] {
        must_end(move || {
            let disk = if immediate { disk().immediate() } else { disk() }.share();
            let server = serve(disk.clone());
            for (offset, length) in [(0, 512_u32), (1000, 60_000), (MIB / 2, 512), (MIB / 2, 100_000)] {
                let expected = &disk.bytes()[offset as usize..][..length as usize];
                let mut raw = Raw::simple(&server.socket());
                let mut chunks = Raw::structured(&server.socket());
                for _ in 0..2 {
                    raw.request(READ, 1, offset, length);
                    assert_eq!(raw.simple_reply(), (0, 1));
                    assert_same(&raw.many(length as usize), expected);
                    raw.request(READ, 2, offset, length);
                    assert_eq!(raw.simple_reply(), (5, 2));

                    chunks.request(READ, 3, offset, length);
                    assert_same(&chunks.chunk().payload[8..], expected);
                    chunks.request(READ, 4, offset, length);
                    let error = chunks.chunk();
                    assert_eq!((error.kind, error.cookie, error.last), (0x8001, 4, true));
                    assert_eq!(error.payload, *b"\0\0\0\x05\0\x06broken");
                }
            }
            server.end();
        });
    }
}
