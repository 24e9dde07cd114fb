//! One fault a test, each with the exact error it gives.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod content;
mod length;
mod magic;
#[path = "../common/octets.rs"]
mod octets;
mod string;
