//! A blocking NBD client and a threaded server for Linux, on top of the state machines of `nbd-proto`.
//!
//! ```no_run
//! use nbd_driver_std::Client;
//!
//! let client = Client::connect("nbd://localhost/disk")?;
//! let mut block = [0; 4096];
//! client.read_at(&mut block, 0)?;
//! client.write_at(&block, 4096)?;
//! client.flush()?;
//! client.shutdown()?;
//! # Ok::<(), nbd_driver_std::Error>(())
//! ```
//!
//! | want | look at |
//! |---|---|
//! | connect with choices: time-outs, metadata contexts, reply styles | [`ConnectOptions`] |
//! | read and write from many threads over one connection | [`Client`], by reference or clone |
//! | many requests in flight from one thread | [`Client::queue`] |
//! | go on after a lost connection | [`ConnectOptions::reconnect`] |
//! | what is allocated, what is dirty | [`Client::block_status`] |
//! | what a server has | [`ConnectOptions::list`] |
//! | only the handshake, then the socket | [`ConnectOptions::negotiate`] |
//! | connect by an event loop of your own, and only look the host's name up here | [`look_up`] |
//! | serve something of your own | [`server`], [`backend`] |
//!
//! The client has no thread behind your back. Whichever thread waits for a reply moves bytes for all of them, in both
//! directions at once, and hands over to the owner of a buffer when it is that buffer's turn: payload is received
//! straight into the caller's memory, and sent from it.
//!
//! This crate does not do TLS yet; an address that demands it (`nbds`) is an error, and the server never offers it.

#![forbid(unsafe_code)]

mod address;
pub mod backend;
mod baton;
mod block_status;
mod call;
mod client;
mod connected;
mod direct;
mod error;
mod handshake;
mod input;
mod options;
mod pieces;
mod queue;
mod queues;
mod reconnect;
pub mod server;
mod stream;
mod table;
mod trace;
mod waker;

pub use address::look_up;
pub use block_status::BlockStatus;
pub use client::Client;
pub use connected::Connected;
pub use error::Error;
pub use options::{ConnectOptions, Oversize, Unaligned};
pub use queue::{Completion, Interrupted, Interrupter, Queue, Rejected, Ticket};
pub use reconnect::{Reconnect, ReconnectEvent};

pub use nbd_proto;
pub use nbd_proto::transmission::ContextExtents;
