//! The place of the Linux hand-off: negotiated value plus socket to `/dev/nbdN`, by ioctl and netlink.
//!
//! Nothing is here yet; the project's README lists what exists.

#[cfg(feature = "_fuzzing")]
pub mod fuzzing;
#[allow(dead_code, unused_imports, reason = "its users come next")]
mod netlink;
