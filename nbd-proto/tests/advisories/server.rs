//! The server's transmission engine and clients in octets, as its own tests have them.
#![allow(dead_code, reason = "few of the helpers are needed here")]

#[path = "../transmission_server/client.rs"]
pub(crate) mod client;
#[path = "../transmission_server/harness.rs"]
pub(crate) mod harness;
#[path = "../transmission_server/setup.rs"]
pub(crate) mod setup;
#[path = "../transmission_server/verdict.rs"]
pub(crate) mod verdict;
