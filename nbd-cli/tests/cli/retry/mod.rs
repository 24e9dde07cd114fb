//! Servers that are killed while `nbd copy --retry` or another client is at work, and come back.

mod both;
mod copy;
mod ends;
#[path = "../../../../nbd-driver-std/tests/reconnect/killed.rs"]
mod killed;
mod ours;
#[path = "../../../../nbd-driver-std/tests/reconnect/patient.rs"]
mod patient;
