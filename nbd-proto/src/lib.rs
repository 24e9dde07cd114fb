//! The NBD (Network Block Device) protocol as a pure state machine: bytes in, bytes and events out.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod error;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod limits;
pub mod observe;
pub mod text;
pub mod transmission;
pub mod uri;
pub mod wire;
