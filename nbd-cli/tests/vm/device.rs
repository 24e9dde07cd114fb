//! The library `nbd-kernel` on a real kernel, each test by ioctl and by netlink.

mod attach;
mod io;
pub(crate) mod support;

use nbd_kernel::Interface;
use nbd_testkit::vm::GuestTest;

/// Makes two tests out of each function that takes an interface, and lists them.
macro_rules! by_both {
    ($($module:ident::$test:ident),+ $(,)?) => {
        pub(crate) mod by_ioctl {
            use super::{GuestTest, Interface};

            pub(crate) const TESTS: &[GuestTest] =
                &[$(GuestTest::new(stringify!($test), || super::$module::$test(Interface::Ioctl))),+];
        }

        pub(crate) mod by_netlink {
            use super::{GuestTest, Interface};

            pub(crate) const TESTS: &[GuestTest] =
                &[$(GuestTest::new(stringify!($test), || super::$module::$test(Interface::Netlink))),+];
        }
    };
}

by_both![
    attach::a_device_has_the_exports_shape,
    attach::a_device_is_free_after_its_end,
    io::what_is_written_is_read_back,
];
