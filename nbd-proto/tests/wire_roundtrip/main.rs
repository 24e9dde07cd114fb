//! What is emitted parses to the same value; what parses is emitted as the same bytes; and no bytes at all make a
//! parser panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod any_bytes;
mod identity;
#[path = "../common/strategies.rs"]
mod strategies;

/// What `emit` appends.
fn emitted(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    emit(&mut out);
    out
}
