//! The place of the readiness driver: client and server engines of `nbd-proto` as `mio` event sources.
//!
//! Nothing is here yet; the project's README lists what exists.
#![forbid(unsafe_code)]
