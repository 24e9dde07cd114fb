//! The transmission phase: requests out, replies in, any number at a time (spec, *Transmission*).
//!
//! [`Client`] and [`Server`] are the engines. Their methods fall into the same four families:
//!
//! | family | the client's | the server's |
//! |---|---|---|
//! | commands and answers, legal at any time, any number in a row | [`submit`](Client::submit), [`submit_for_contexts`](Client::submit_for_contexts), [`disconnect`](Client::disconnect) | [`receive`](Server::receive), [`finish`](Server::finish), [`finish_read`](Server::finish_read), [`finish_status`](Server::finish_status), [`fail`](Server::fail), [`begin_shutdown`](Server::begin_shutdown) |
//! | to the network | [`outbound`](Client::outbound) shows what is to be sent, [`sent`](Client::sent) commits | [`outbound`](Server::outbound), [`sent`](Server::sent) |
//! | from the network | [`input`](Client::input) parses and brings events, [`landing`](Client::landing) and [`landed`](Client::landed) let payload arrive where it belongs, [`eof`](Client::eof), [`give_up`](Client::give_up) | [`input`](Server::input), [`landing`](Server::landing), [`landed`](Server::landed), [`eof`](Server::eof), [`give_up`](Server::give_up) |
//! | getters | [`negotiated`](Client::negotiated), [`in_flight`](Client::in_flight), [`wants_write`](Client::wants_write), … | [`negotiated`](Server::negotiated), [`in_flight`](Server::in_flight), [`wants_read`](Server::wants_read), [`is_finished`](Server::is_finished), … |
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
mod status;

pub use check::{Checks, Command};
pub use client::{Client, ClientSettings};
pub use inbound::{Event, Extent, Extents, Landing};
pub use outbound::{Outbound, Segment};
pub use server::{Failure, ReadPart, Request, RequestId, Server, ServerEvent, ServerSettings};
pub use status::{ContextExtents, StatusAnswer, StatusMemory};
