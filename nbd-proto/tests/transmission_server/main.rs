//! The server's transmission engine, against requests as clients send them, and as they should not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

#[path = "../common/octets.rs"]
mod octets;

mod client;
mod harness;
mod setup;
mod verdict;

mod alignment;
mod bounds;
mod command_flags;
mod disconnect;
mod done;
mod empty;
mod ending;
mod extents;
mod failed_writes;
mod failures;
mod filter;
mod filter_refused;
mod flush;
mod fragments;
mod golden_extended;
mod golden_simple;
mod golden_structured;
mod ids;
mod limits;
mod magic;
mod many_extents;
mod maximum_payload;
mod observer;
mod offered;
mod outbound;
mod over;
mod payload_len;
mod random;
mod shutdown;
mod skipping;
mod status_bounds;
mod writes;
mod wrong_answers;
