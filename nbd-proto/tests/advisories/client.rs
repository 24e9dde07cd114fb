//! The client's transmission engine and scripted servers, as its own tests have them.
#![allow(dead_code, reason = "few of the helpers are needed here")]

#[path = "../transmission/harness.rs"]
pub(crate) mod harness;
#[path = "../transmission/server.rs"]
pub(crate) mod server;
