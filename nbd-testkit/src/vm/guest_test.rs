//! What a test in the guest is.

use std::time::Duration;

/// Nothing that is tested takes a fifth of it on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A test that runs in the guest; it fails by panicking. See [`guest_test!`](crate::guest_test).
#[derive(Debug, Clone, Copy)]
pub struct GuestTest {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    pub(crate) limit: Duration,
    pub(crate) module: bool,
}

impl GuestTest {
    /// A test that runs with the kernel module `nbd` loaded, and is ended after 120 seconds.
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, run, limit: LIMIT, module: true }
    }

    /// Sets after how many seconds it counts as hanging: five times what it takes on a quiet machine, or more.
    #[must_use]
    pub const fn limit(self, seconds: u64) -> Self {
        Self { limit: Duration::from_secs(seconds), ..self }
    }

    /// Runs it before the kernel module `nbd` is loaded.
    #[must_use]
    pub const fn without_module(self) -> Self {
        Self { module: false, ..self }
    }
}

/// A [`GuestTest`] named after the function.
#[macro_export]
macro_rules! guest_test {
    ($test:ident) => {
        $crate::vm::GuestTest::new(stringify!($test), $test)
    };
}
