//! The blocking client, on real servers and on servers made to do one thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]
#![allow(clippy::single_range_in_vec_init, reason = "a bitmap may have one dirty range")]

// What any driver of the client has to do, by one thread.
mod addresses;
mod both_ways;
mod chaos;
#[path = "../../../nbd-proto/tests/common/counting.rs"]
mod counting;
mod cve_2019_15541_busy_loop_on_close;
mod cve_2022_0485_failed_reads;
mod driver;
mod endless_answers;
mod failures;
mod interop;
mod interop_contexts;
mod interop_flags;
mod interop_lists;
mod observer;
mod peer;
mod queue;
mod shutdown;
mod support;
mod timeouts;
mod users;

// What this one does besides: threads, requests of any length and place, and sockets only.
mod given;
mod interrupt;
mod look_up;
mod padding;
mod panics;
mod pins;
mod splitting;
mod threads;
mod untaken_answers;
