//! The client's handshake against scripted servers: what it sends, what it makes of the answers, and how it
//! ends. One behaviour family per file; `peer` holds the scripts and plays them to whole flows,
//! `engine` is a caller who chooses each option.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod binding;
mod block_sizes;
mod bytes;
mod connect;
mod contexts;
mod end_of_stream;
mod engine;
mod export_name;
mod info;
mod interactive;
mod limits;
mod list_option;
mod listing;
mod never_in_clear;
mod observing;
mod opening;
mod peer;
mod plan;
mod refusals;
mod replies;
mod splitting;
mod starttls;
