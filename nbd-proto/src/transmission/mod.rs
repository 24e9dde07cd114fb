//! The transmission phase: requests out, replies in, any number at a time (spec, *Transmission*).
//!
//! [`Client`] is the engine. Its methods fall into four families:
//!
//! | family | methods |
//! |---|---|
//! | commands, legal at any time, any number in a row | [`submit`](Client::submit), [`submit_for_contexts`](Client::submit_for_contexts), [`disconnect`](Client::disconnect) |
//! | to the network | [`outbound`](Client::outbound) shows what is to be sent, [`sent`](Client::sent) commits |
//! | from the network | [`input`](Client::input) parses and brings events, [`landing`](Client::landing) and [`landed`](Client::landed) let payload arrive where it belongs, [`eof`](Client::eof), [`give_up`](Client::give_up) |
//! | getters | [`negotiated`](Client::negotiated), [`in_flight`](Client::in_flight), [`wants_write`](Client::wants_write), … |
//!
//! Payload belongs to the caller. The engine names ranges of the caller's buffers and never sees what is in
//! them: not when it is sent, and not when it arrives.

mod check;
mod client;
mod contexts;
mod coverage;
mod inbound;
mod inflight;
mod outbound;
mod server;
mod slots;

pub use check::{Checks, Command};
pub use client::{Client, ClientSettings};
pub use inbound::{Event, Extent, Extents, Landing};
pub use outbound::{Outbound, Segment};
pub use server::{Failure, ReadPart, Request, RequestId, Server, ServerEvent, ServerSettings};
