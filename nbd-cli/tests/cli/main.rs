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
mod cve_2019_14850_early_opens;
mod cve_2022_0485_failed_reads;
mod cve_2023_5215_huge_sizes;
mod cve_2024_7409_idle_handshakes;
mod demo;
mod errors;
mod info;
mod info_map;
mod info_questions;
mod patience;
mod raw;
mod retry;
mod serve;
mod serve_arguments;
mod serve_exports;
mod serve_files;
mod serve_limits;
mod serve_run;
mod serve_signals;
mod serve_sockets;
mod serving;
mod status;
mod text;
