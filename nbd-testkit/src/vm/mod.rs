//! Runs tests inside a virtual machine, on a real Linux kernel.
//!
//! One test binary plays both parts. On the host it lists one trial per kernel and test, boots each
//! kernel once for all of its tests, and gives every trial its own result. In the guest it runs the
//! tests one after the other, each in a process of its own with a time limit, and clears away what
//! it left.
//!
//! ```no_run
//! use nbd_testkit::guest_test;
//! use nbd_testkit::vm::{GuestTest, Suite};
//!
//! fn loopback_is_up() {
//!     std::net::TcpListener::bind("127.0.0.1:0").expect("listen on the loopback");
//! }
//!
//! const NETWORK: &[GuestTest] = &[guest_test!(loopback_is_up)];
//!
//! // In a test binary with `harness = false`:
//! fn main() -> std::process::ExitCode {
//!     let suite = Suite {
//!         modules: &[("network", NETWORK)],
//!         programs: &[],
//!         scratch: "/var/tmp/vm", // env!("CARGO_TARGET_TMPDIR")
//!         between_tests: || {},
//!     };
//!     suite.main()
//! }
//! ```
//!
//! In the guest a test is root, has `/dev`, `/proc`, `/sys`, `/run` and `/tmp`, the loopback device, busybox, nbdkit,
//! the tools of ext4, and fio where the host has it, all in the search path. Its working directory is `/tmp`; what
//! it leaves there or mounts there is cleared away. What it writes to [`LOGS`] is brought back to the host.
//!
//! Environment variables of the host:
//! - `NBD_VM_ONLY`: run only tests whose name contains this (`module::test::kernel`). Boots only for these even
//!   where every trial is a process of its own.
//! - `NBD_VM_ACCEL=kvm`: use the processor's virtualization where it works, for quick local work. Without it the
//!   processor is emulated, as it is where tests run for everyone.

mod guest;
mod guest_test;
mod image;
mod kernel;
mod libraries;
mod machine;
mod processes;
mod report;
mod run;
mod suite;

pub use guest_test::GuestTest;
pub use suite::{Suite, available};

/// A directory in the guest whose files come back to the host, in `logs.tar`. Keep it to a few MiB: a serial port
/// carries it.
pub const LOGS: &str = "/logs";

/// The guest's file with the kernel module `nbd`, for a test that loads it itself.
pub const MODULE: &str = "/lib/nbd.ko";
