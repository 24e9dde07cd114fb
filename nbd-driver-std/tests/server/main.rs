//! The threaded server: with our own client, with raw bytes, and with clients of other projects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod backends;
mod commands;
mod cve_2019_14850_early_opens;
mod cve_2019_15541_busy_loop_on_close;
mod cve_2020_10761_own_long_errors;
mod cve_2022_0485_failed_reads;
mod cve_2024_7409_idle_handshakes;
mod disconnect;
mod disk;
mod driver;
mod export_names;
mod exports;
mod failures;
mod gate;
mod half_open;
mod holes;
mod idle;
mod inherited;
mod interop;
mod leaks;
mod limits;
mod order;
mod pins;
mod raw;
mod read_only;
mod socket_races;
mod sockets;
mod status;
mod status_memory;
mod stop;
mod stop_immediate;
mod support;
mod threads;
mod try_read;
