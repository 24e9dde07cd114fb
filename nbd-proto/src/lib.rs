//! nbd-proto
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
pub mod uri;
