//! The command `nbd` on real and scripted servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod attach;
mod clients;
mod common;
mod completion;
mod copy_faults;
mod copy_files;
mod copy_memory;
mod copy_options;
mod copy_refusals;
mod copy_servers;
mod demo;
mod errors;
mod hostile;
mod info;
mod info_map;
mod info_memory;
mod info_questions;
mod nasty;
mod patience;
mod raw;
mod serve;
mod serve_arguments;
mod serve_exports;
mod serve_files;
mod serve_limits;
mod serve_memory;
mod serve_run;
mod serve_signals;
mod serve_sockets;
mod serving;
mod status;
mod text;
mod text_here;
mod text_servers;
