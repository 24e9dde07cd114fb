//! The server: with the blocking client, with raw bytes, and with clients of other projects. The tests in files of
//! `nbd-driver-std` are those of the threaded server, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod after_the_end;
mod back_pressure;
mod buffers;
mod deadlines;
mod dones;
mod dripping;
mod driver;
mod half_closed;
mod leaving;
mod no_server_yet;
mod one;
mod questions;
mod refused_answers;
mod reuse;
mod same_packet;
mod shares;
mod shutting_down;

#[path = "../../../nbd-driver-std/tests/server/backends.rs"]
mod backends;
#[path = "../../../nbd-driver-std/tests/server/commands.rs"]
mod commands;
#[path = "../../../nbd-driver-std/tests/server/cve_2019_14850_early_opens.rs"]
mod cve_2019_14850_early_opens;
#[path = "../../../nbd-driver-std/tests/server/cve_2019_15541_busy_loop_on_close.rs"]
mod cve_2019_15541_busy_loop_on_close;
#[path = "../../../nbd-driver-std/tests/server/cve_2020_10761_own_long_errors.rs"]
mod cve_2020_10761_own_long_errors;
#[path = "../../../nbd-driver-std/tests/server/cve_2022_0485_failed_reads.rs"]
mod cve_2022_0485_failed_reads;
#[path = "../../../nbd-driver-std/tests/server/cve_2024_7409_idle_handshakes.rs"]
mod cve_2024_7409_idle_handshakes;
#[path = "../../../nbd-driver-std/tests/server/disconnect.rs"]
mod disconnect;
#[path = "../../../nbd-driver-std/tests/server/disk.rs"]
mod disk;
#[path = "../../../nbd-driver-std/tests/server/exports.rs"]
mod exports;
#[path = "../../../nbd-driver-std/tests/server/failures.rs"]
mod failures;
#[path = "../../../nbd-driver-std/tests/server/gate.rs"]
mod gate;
#[path = "../../../nbd-driver-std/tests/server/half_open.rs"]
mod half_open;
#[path = "../../../nbd-driver-std/tests/server/holes.rs"]
mod holes;
#[path = "../../../nbd-driver-std/tests/server/idle.rs"]
mod idle;
#[path = "../../../nbd-driver-std/tests/server/interop.rs"]
mod interop;
#[path = "../../../nbd-driver-std/tests/server/leaks.rs"]
mod leaks;
#[path = "../../../nbd-driver-std/tests/server/limits.rs"]
mod limits;
#[path = "../../../nbd-driver-std/tests/server/order.rs"]
mod order;
#[path = "../../../nbd-driver-std/tests/server/pins.rs"]
mod pins;
#[path = "../../../nbd-driver-std/tests/server/raw.rs"]
mod raw;
#[path = "../../../nbd-driver-std/tests/server/read_only.rs"]
mod read_only;
#[path = "../../../nbd-driver-std/tests/server/status.rs"]
mod status;
#[path = "../../../nbd-driver-std/tests/server/stop.rs"]
mod stop;
#[path = "../../../nbd-driver-std/tests/server/support.rs"]
mod support;
#[path = "../../../nbd-driver-std/tests/server/threads.rs"]
mod threads;
#[path = "../../../nbd-driver-std/tests/server/try_read.rs"]
mod try_read;
