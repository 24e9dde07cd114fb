//! What real peers said to each other (`fuzz/recordings`), played to our engines, and cut after every byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod client;
mod contents;
mod cve_2021_20286;
mod messages;
mod server;
mod transcript;
