//! The client's transmission engine, against replies as servers send them, and as they must not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod harness;
mod server;

mod done;
mod ending;
mod fault_chunk;
mod fault_error;
mod fault_read;
mod fault_reply;
mod fault_status;
mod hostile;
mod observer;
mod payload;
mod progress;
mod random;
mod refused;
mod replies;
mod requests;
mod status;
mod tolerance;
