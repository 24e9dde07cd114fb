//! The driver's generic netlink family: requests, their answers, and the news of dead connections.
//!
//! A [`Session`] asks, one request at a time, over a [`Wire`]; [`Events`] listens. Nothing here keeps the state of a
//! device. What comes from the socket is checked as if anybody could have written it, though the kernel did.
//!
//! `netlink-packet-core` knows headers and attributes, and everything is read through it. The controller's answers
//! are not read with `netlink-packet-generic`: it refuses any attribute that it does not know, so that a newer kernel
//! would break it, and it panics at some attributes that are too short.

#![forbid(unsafe_code)]

mod acknowledgement;
mod attributes;
mod change;
mod events;
mod failure;
mod family;
mod link;
mod message;
mod request;
mod session;
mod socket;
mod status;
mod uapi;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use change::{ClientFlags, Connect, Reconfigure};
#[cfg(feature = "_fuzzing")]
pub(crate) use events::parse as parse_events;
pub(crate) use events::{Event, Events};
pub(crate) use failure::Failure;
#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) use failure::Malformed;
pub(crate) use family::Group;
pub(crate) use session::Session;
pub(crate) use status::DeviceState;
pub(crate) use wire::{KernelWire, Wire};
