//! Our client and our server, joined by two pipes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the simulation has threads and settings, and tells what it did"
)]

mod client;
mod history;
mod ledger;
mod oracle;
mod pump;
mod random;
mod reconnecting;
mod scripts;
mod server;
mod simulation;
mod store;
mod wire;
mod world;
