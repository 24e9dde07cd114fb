//! Bodies of the fuzz targets in `fuzz/`, kept here so that every build with all features compiles them and
//! `cargo test` replays their seeds. Internal: no promise of stability.
//!
//! Each body takes any bytes at all and panics if one of the invariants at its top does not hold.

mod netlink_reply;

pub use netlink_reply::netlink_reply;
