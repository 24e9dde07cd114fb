//! Tests of what both of the kernel's interfaces can do.

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

pub(crate) use by_both;
