//! The server's handshake against clients of every kind: what it asks its caller, what it sends, and how it ends. One
//! behaviour family per file; `session` is a server whose client is played by the test, `pair` joins it to our own
//! client.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

mod abort;
mod bounded_memory;
mod bytes;
mod contexts;
#[path = "../common/counting.rs"]
mod counting;
mod cutting;
mod end_of_stream;
mod export_name;
mod export_name_refused;
mod flags;
mod go;
mod info;
mod invalid;
mod limits;
mod list;
mod observing;
mod offers;
mod opening;
mod pair;
mod pair_connect;
mod pair_list;
mod random;
mod refusals;
mod reply_styles;
mod session;
mod shutdown;
mod skipping;
mod starttls;
mod tls_modes;
mod tls_only;
