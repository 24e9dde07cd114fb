//! The handshake: from the server's first byte to the moment when requests may be sent, or until both have
//! said goodbye (spec, *Handshake*).
//!
//! For a client, two levels:
//!
//! - [`ClientHandshake`] is the engine. It haggles one option at a time, and the caller chooses each.
//! - [`Connect`] and [`List`] are whole flows on top of it: reach an export; ask what a server has. Both are
//!   [`Flow`]s, so that one driver loop runs either.
//!
//! Whoever drives one of them moves bytes: it hands in what came with `input`, writes what was appended to
//! `out`, and looks at [`Status`]. It reads and writes at the same time, because a server may answer the
//! beginning of a long option before it has read the end. On an error it still writes what is in `out`, as far
//! as that goes without waiting (it is a courtesy `ABORT`), and hangs up.
//!
//! For a server there is [`ServerHandshake`]. It answers by itself what it can, and asks its caller for the rest: which
//! exports there are, and what each of them is like.
//!
//! ```
//! use nbd_proto::handshake::{Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus};
//! use nbd_proto::wire::{flags::TransmissionFlags, number::ReplyType};
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// Hands in what came from a client, answers what it asks, and returns how much of it was consumed.
//! fn serve(handshake: &mut ServerHandshake, input: &[u8], out: &mut Vec<u8>) -> Result<usize> {
//!     let disk = Offer::new(1 << 30, TransmissionFlags::SEND_FLUSH).with_context("base:allocation");
//!     let mut consumed = 0;
//!     loop {
//!         let advance = handshake.input(&input[consumed..], out)?;
//!         consumed += advance.consumed;
//!         match advance.event {
//!             Some(ServerHandshakeEvent::List) => handshake.list([("disk", "the only one")], out)?,
//!             Some(ServerHandshakeEvent::LookUp(it)) if it.name == "disk" => handshake.offer(&disk, out)?,
//!             Some(_) => handshake.refuse(ReplyType::ERR_UNKNOWN, "there is only \"disk\"", out)?,
//!             None if advance.consumed == 0 => return Ok(consumed),
//!             None => {}
//!         }
//!     }
//! }
//! # let mut out = Vec::new();
//! # let mut handshake = ServerHandshake::new(ServerHandshakeSettings::default(), &mut out);
//! # let input = b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\x04disk";
//! # assert_eq!(serve(&mut handshake, input, &mut out).unwrap(), input.len());
//! # assert_eq!(handshake.status(), ServerStatus::Ready);
//! ```

mod client;
mod connect;
mod context_names;
mod list;
mod negotiated;
mod preamble;
mod server;

pub use client::{ClientHandshake, HandshakeEvent, HandshakeSettings};
pub use connect::{Connect, ConnectSettings};
pub use list::{List, ListSettings, ListedExport, Listing};
pub use negotiated::{ExportInfo, HandshakeStyle, MetaContext, Negotiated, ReplyStyle};
pub use server::{
    Accepted, LookUp, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus, ServerTls,
};

use alloc::vec::Vec;

use crate::error::Error;

/// Whether TLS is used.
///
/// The core never does TLS. It says [`Status::SwitchToTls`], the driver switches and calls
/// `tls_established`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsPolicy {
    /// Never.
    #[default]
    Off,
    /// When the server agrees to it; otherwise in clear. No protection against somebody who tampers.
    Opportunistic,
    /// Before anything else is asked; a server without it is left, and nothing is sent to it in clear.
    Required,
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Bytes from the server.
    NeedInput,
    /// The caller, to choose an option. Only [`ClientHandshake`] ever says so.
    Choose,
    /// The driver, to do the TLS handshake on the same stream and call `tls_established`.
    SwitchToTls,
    /// Nothing: `finish` gives the result, and the next byte belongs to the transmission phase.
    Ready,
    /// Nothing: the session is over. [`List`] ends here; `finish` gives its result.
    Closed,
}

/// A handshake that finds its own way from the greeting to a result.
pub trait Flow {
    /// What comes out.
    type Output;

    /// Takes bytes from the server, appends bytes for it to `out`, and returns how many were consumed.
    ///
    /// What was not consumed is to be handed in again, with more behind it. Never consumes a byte behind the
    /// end of the handshake or behind a switch to TLS. May be called with an empty slice. After an error
    /// every call returns that error again.
    fn input(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error>;

    /// The server closed the stream. Returns why that is an error, and every later call does; only a [`List`]
    /// that is [`Status::Closed`] stays so, and keeps its result.
    fn eof(&mut self) -> Error;

    /// The driver gives the connection up: a system error, a time-out. Returns the error to show.
    fn give_up(&mut self, reason: &str) -> Error;

    /// TLS is up on the stream: everything from here on goes through it.
    fn tls_established(&mut self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// What is waited for.
    fn status(&self) -> Status;

    /// The result, once the status is [`Status::Ready`] or [`Status::Closed`]; otherwise an error.
    fn finish(self) -> Result<Self::Output, Error>
    where
        Self: Sized;
}

/// What one `input` call did: how far it came, and at most one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Advance<E> {
    /// How many bytes of the input were used.
    pub consumed: usize,
    /// What happened, if anything did. With nothing consumed and no event, more input is needed, or somebody else is
    /// to act: `status` tells.
    pub event: Option<E>,
}

impl<E> Advance<E> {
    pub(crate) const NOTHING: Self = Self { consumed: 0, event: None };

    pub(crate) const fn quiet(consumed: usize) -> Self {
        Self { consumed, event: None }
    }

    pub(crate) const fn event(consumed: usize, event: E) -> Self {
        Self { consumed, event: Some(event) }
    }
}
