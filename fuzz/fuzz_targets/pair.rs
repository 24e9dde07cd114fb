//! See `nbd_proto::fuzzing::pair` for the invariants and for what the bytes mean.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nbd_proto::fuzzing::pair(data));
