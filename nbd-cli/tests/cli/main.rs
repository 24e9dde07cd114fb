//! The command `nbd` on real and scripted servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;
mod completion;
mod copy_faults;
mod copy_files;
mod copy_memory;
mod copy_options;
mod copy_refusals;
mod copy_servers;
mod errors;
mod info;
mod info_map;
mod info_questions;
mod patience;
mod text;
