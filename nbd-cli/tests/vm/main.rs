//! The command `nbd` on real Linux kernels, in a virtual machine. See `nbd_testkit::vm`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod both;
mod command;
mod device;
mod module;
mod server;
mod servers;
mod support;
mod tidy;
mod writer;

use std::process::ExitCode;

use nbd_testkit::vm::Suite;

fn main() -> ExitCode {
    let suite = Suite {
        modules: &[
            ("module", module::TESTS),
            ("servers", servers::TESTS),
            ("ioctl", device::by_ioctl::TESTS),
            ("netlink", device::by_netlink::TESTS),
            ("recovery", device::recovery::TESTS),
            ("command", command::TESTS),
            ("ioctl_command", command::by_ioctl::TESTS),
            ("netlink_command", command::by_netlink::TESTS),
        ],
        programs: &[("nbd", env!("CARGO_BIN_EXE_nbd"))],
        scratch: concat!(env!("CARGO_TARGET_TMPDIR"), "/vm"),
        between_tests: tidy::between_tests,
    };
    suite.main()
}
