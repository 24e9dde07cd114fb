//! The blocking client, on real servers and on servers made to do one thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]
#![allow(clippy::single_range_in_vec_init, reason = "a bitmap may have one dirty range")]

mod addresses;
mod both_ways;
mod chaos;
mod driver;
mod failures;
mod interop;
mod interop_contexts;
mod interop_flags;
mod interop_lists;
mod interrupt;
mod look_up;
mod observer;
mod padding;
mod panics;
mod peer;
mod pins;
mod queue;
mod shutdown;
mod splitting;
mod support;
mod threads;
mod timeouts;
