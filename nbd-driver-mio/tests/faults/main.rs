//! A client and a server of ours on a network that breaks in every way a network can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod by_hand;
mod client;
mod directed;
mod faults;
mod loop_rules;
mod model;
mod network;
mod real;
mod server;
mod simulation;
mod stalls;
mod world;
