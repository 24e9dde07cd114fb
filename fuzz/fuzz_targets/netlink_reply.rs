//! See `nbd_kernel::fuzzing::netlink_reply` for the invariants and for what the bytes mean.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nbd_kernel::fuzzing::netlink_reply(data));
