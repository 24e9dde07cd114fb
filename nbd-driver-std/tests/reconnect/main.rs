//! The client that replaces a lost connection, on servers that are killed and come back, and on servers made to do one
//! thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod acts;
mod company;
mod ends;
mod extremes;
mod killed;
mod kills;
mod order;
mod patient;
mod replay;
mod shapes;
