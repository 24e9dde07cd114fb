//! NBD client and server connections as [`mio`] event sources, on top of the state machines of `nbd-proto`.
//!
//! Everything happens in the caller's own loop: no thread, no hidden poll, and no call that waits.
//!
//! ```no_run
//! use std::time::Instant;
//!
//! use mio::{Events, Interest, Poll, Token};
//! use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
//! use nbd_driver_mio::{ClientOptions, ConnectTimeouts, Connecting, Scratch, Socket, Turn};
//!
//! let (mut poll, mut events, mut scratch) = (Poll::new()?, Events::with_capacity(64), Scratch::new());
//! let socket = Socket::connect("127.0.0.1:10809".parse()?)?;
//!
//! // First the handshake …
//! let settings = ConnectSettings::new("disk");
//! let mut connecting = Connecting::new(socket, settings, ConnectTimeouts::default(), Instant::now());
//! poll.registry().register(&mut connecting, Token(0), Interest::READABLE)?;
//! loop {
//!     match connecting.turn(&mut scratch, Instant::now())? {
//!         Turn::Over => break,
//!         Turn::Again => continue, // other connections would come first
//!         Turn::Wait => {
//!             let patience = connecting.deadline().map(|at| at.saturating_duration_since(Instant::now()));
//!             poll.poll(&mut events, patience)?;
//!             events.iter().for_each(|event| connecting.ready(event));
//!         }
//!     }
//! }
//!
//! // … then requests, any number at once. The registration stays.
//! let mut client = connecting.into_client(ClientOptions::default())?;
//! for block in 0..16 {
//!     client.read(vec![0; 4096], block * 4096)?;
//! }
//! client.disconnect(); // once those have ended
//! loop {
//!     let turn = client.turn(&mut scratch, Instant::now());
//!     while let Some(done) = client.completion() {
//!         done.result?;
//!         println!("{} bytes at {}", done.buffer.len(), done.command.offset);
//!     }
//!     match turn {
//!         Turn::Over => break,
//!         Turn::Again => continue,
//!         Turn::Wait => {
//!             let patience = client.deadline().map(|at| at.saturating_duration_since(Instant::now()));
//!             poll.poll(&mut events, patience)?;
//!             events.iter().for_each(|event| client.ready(event));
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | want | look at |
//! |---|---|
//! | connect: TCP, Unix, any file descriptor, any stream of yours | [`Socket`], [`Stream`] |
//! | reach an export | [`Connecting`], then [`Client`] |
//! | ask what a server has | [`Connecting::with_flow`] with a [`List`](nbd_proto::handshake::List) |
//! | serve a client that has connected | [`Accepting`], then [`Server`] |
//! | the handshake, then the bare stream | [`Connecting::into_parts`] |
//!
//! # The rules of the loop
//!
//! All four kinds of connection work the same way.
//!
//! - **Events.** mio's readiness is edge-triggered: it is told once. Hand each event to `ready`, at once or later, and give
//!   the connection a `turn` then. A turn drains the stream until it would block, in both directions; reading never waits
//!   for writing. An event too many does no harm. Where readiness does not come from mio, `set_ready` says the same.
//! - **Turns.** A turn moves at most about 256 KiB each way, by at most 64 calls. [`Turn::Again`] says that more is left:
//!   come back after the other connections, without waiting. One busy connection so never starves a thousand others.
//!   [`Turn::Wait`] says that only an event, the deadline, or the caller can bring something new.
//! - **What makes a turn due:** an event; the `deadline`; a new phase, for what came together with the end of the one
//!   before; and the caller's own calls, such as `read` or `finish`, which
//!   send nothing by themselves. Many requests handed in before one turn leave with one system call.
//! - **Signals.** `Poll::poll` itself fails with [`Interrupted`](std::io::ErrorKind::Interrupted) after some, also where
//!   the process was stopped and continued: then just go on.
//! - **The clock** is the caller's: `turn` is told the time, and `deadline` says when a turn is due at the latest.
//! - **Not now.** Nothing grows without bounds: a client refuses requests beyond its limits
//!   ([`Rejected::is_not_now`]), a server stops reading at its own. Completions and events that nobody takes count.
//! - **The end.** A connection that is over says so with [`Turn::Over`]. By then each request has its completion, and
//!   each buffer has come back. Deregister it, or just drop
//!   it, unless its descriptor has been duplicated.
//!
//! # Names of hosts
//!
//! Looking up a name blocks, so it is not done here: `nbd_driver_std::look_up` does it, in a thread of the caller's, and
//! gives the addresses for [`Socket::connect`].
//!
//! # Memory
//!
//! An idle connection holds no receive buffer, nor spare ones for payload: the [`Scratch`] belongs to the loop. The README has measured figures.
//!
//! This crate does not do TLS yet. It needs a Unix system; it is tested on Linux.

#![forbid(unsafe_code)]

mod accepting;
mod buffer;
mod channel;
mod client;
mod connecting;
mod error;
mod exchange;
mod pool;
mod scratch;
mod server;
mod socket;
mod stream;
mod table;
mod turn;

pub use accepting::{Accepting, Question};
pub use buffer::{Buffer, ReadBuffer};
pub use client::{Client, ClientOptions, Completion, Rejected, Rejection};
pub use connecting::{ConnectTimeouts, Connecting};
pub use error::Error;
pub use scratch::Scratch;
pub use server::{RefusedAnswer, Server, ServerEvent, ServerOptions};
pub use socket::Socket;
pub use stream::Stream;
pub use turn::Turn;

pub use {mio, nbd_proto};
