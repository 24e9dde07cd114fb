//! Starts real NBD servers, and scripted ones, for the tests of this workspace.
//!
//! ```
//! use nbd_testkit::{Disk, Nbdkit};
//!
//! let disk = Disk::patterned(1 << 20, 7);
//! let Some(server) = Nbdkit::disk(disk.clone()).start() else { return };
//! let uri = server.uri(); // nbd+unix:///?socket=…
//! # assert!(uri.starts_with("nbd+unix:"));
//! // … connect to `uri`, read, and compare with `disk.contents()` …
//! ```
//!
//! - [`Nbdkit`], [`QemuNbd`] and [`NbdServer`] describe a server; `start()` returns a [`Server`].
//!   It is `None` where the program is not installed: one line says so, and the test returns.
//!   With `NBD_TEST_REQUIRE_PEERS=1` in the environment that is a panic.
//! - [`Disk`] describes what is served, in memory, so that a test knows every byte.
//! - [`Script`] plays given bytes: a server or client with exactly one fault.
//! - [`Recorder`] stands between a client and a server; a [`Recording`] is what they said.
//! - [`Phoenix`] is killed and comes back.
//! - [`Tool`] finds the programs that tests compare with, such as `nbdinfo`.
//! - [`must_end`] puts an end to what might hang, and [`await_rest`] tells a thread that waits from one that spins.
//! - [`vm`] runs tests in a virtual machine, on real kernels.
//!
//! No sleeps: a client may connect as soon as `start()` returns, because the kit binds the socket
//! itself and hands it over (socket activation), or, where a server has no such thing, because it
//! has greeted the kit. Every wait ends after [`PATIENCE`].
//!
//! Nothing stays behind: dropping a [`Server`] kills its processes and removes its directory, and
//! a guard process does the same when the test's process dies, however it dies.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test kit fails by panicking"
)]

mod daemon;
mod disk;
mod guard;
mod hang;
mod listener;
mod nbd_server;
mod nbdkit;
mod phoenix;
mod qemu_nbd;
mod recorder;
mod recording;
mod rest;
mod script;
mod server;
mod spawner;
mod tool;
pub mod vm;
mod watch;

pub use disk::{Disk, pattern, sparse_file};
pub use hang::{HANG, must_end};
pub use nbd_server::NbdServer;
pub use nbdkit::{Handshake, Nbdkit};
pub use phoenix::{Bird, Phoenix};
pub use qemu_nbd::QemuNbd;
pub use recorder::Recorder;
pub use recording::{Record, Recording, Speaker};
pub use rest::{await_rest, this_thread};
pub use script::{Playing, Script, ScriptError, newstyle_greeting, oldstyle_greeting};
pub use server::Server;
pub use tool::{Tool, require, skip};

/// How long anything in this crate waits before it fails.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
