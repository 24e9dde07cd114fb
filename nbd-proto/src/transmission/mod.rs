//! The transmission phase: requests out, replies in, any number at a time (spec, *Transmission*).
//!
//! [`Client`] and [`Server`] are the engines. The methods of a client fall into four families:
//!
//! | family | methods |
//! |---|---|
//! | commands, legal at any time, any number in a row | [`submit`](Client::submit), [`submit_for_contexts`](Client::submit_for_contexts), [`disconnect`](Client::disconnect) |
//! | to the network | [`outbound`](Client::outbound) shows what is to be sent, [`sent`](Client::sent) commits |
//! | from the network | [`input`](Client::input) parses and brings events, [`landing`](Client::landing) and [`landed`](Client::landed) let payload arrive where it belongs, [`eof`](Client::eof), [`give_up`](Client::give_up) |
//! | getters | [`negotiated`](Client::negotiated), [`in_flight`](Client::in_flight), [`wants_write`](Client::wants_write), … |
//!
//! Those of a server are the same towards the network. Requests are [events](ServerEvent), and in the place of commands
//! there are answers, also at any time and in any order: [`finish`](Server::finish),
//! [`finish_read`](Server::finish_read), [`finish_status`](Server::finish_status) and [`fail`](Server::fail).
//!
//! Payload belongs to the caller. The engines name ranges of the caller's buffers and never see what is in
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
