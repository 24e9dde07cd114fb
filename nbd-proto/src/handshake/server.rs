//! The server's side of the handshake.

mod offer;

pub use offer::{Accepted, LookUp, Offer};

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Advance, HandshakeStyle};
use crate::error::{Error, Refused};
use crate::limits::ServerHandshakeLimits;
use crate::observe::Observer;
use crate::wire::number::ReplyType;

/// When a server does TLS (spec, *Server-side requirements*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServerTls {
    /// Never (the specification's `NOTLS`).
    #[default]
    Off,
    /// When a client asks for it; an export may [require](Offer::tls_required) it (`SELECTIVETLS`).
    Offered,
    /// Before anything else is answered (`FORCEDTLS`).
    Required,
}

/// What a [`ServerHandshake`] is told beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHandshakeSettings {
    /// How the connection is opened. Default: fixed newstyle. The others are for testing clients.
    pub style: HandshakeStyle,
    /// Whether the client may do without 124 useless zeroes behind `EXPORT_NAME`. Default: yes.
    pub no_zeroes: bool,
    /// When TLS is done. Default: never.
    pub tls: ServerTls,
    /// Whether structured replies are had. Default: yes.
    pub structured_replies: bool,
    /// Whether extended headers are had. Default: yes.
    pub extended_headers: bool,
    /// Bounds on what the client may send.
    pub limits: ServerHandshakeLimits,
}

/// What a [`ServerHandshake`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// Bytes from the client; or, where an event is due without, one call of `input`.
    NeedInput,
    /// The caller, to answer the last event.
    NeedAnswer,
    /// The driver, to do the TLS handshake on the same stream and call `tls_established`.
    SwitchToTls,
    /// Nothing: `finish` gives the result, and the next byte belongs to the transmission phase.
    Ready,
    /// Nothing: the client said goodbye, or an error ended the session. What is in `out` is still to be sent.
    Closed,
}

/// What a client wants that only the caller can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHandshakeEvent<'a> {
    /// The names of all exports: answer with [`list`](ServerHandshake::list), or
    /// [`refuse`](ServerHandshake::refuse).
    List,
    /// An export: answer with [`offer`](ServerHandshake::offer), or [`refuse`](ServerHandshake::refuse).
    LookUp(LookUp<'a>),
}

/// The server's handshake engine.
#[derive(Debug)]
pub struct ServerHandshake {}

impl ServerHandshake {
    /// A handshake for a client that has just connected. Appends the greeting to `out`, unless the style is
    /// oldstyle: there an export has to be looked up first, and the first call of `input` says so.
    pub fn new(settings: ServerHandshakeSettings, out: &mut Vec<u8>) -> Self {
        let _ = (settings, out);
        todo!()
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        let _ = observer;
        todo!()
    }

    /// What is waited for. Its answer may change after every call that takes `&mut self`.
    pub const fn status(&self) -> ServerStatus {
        todo!()
    }

    /// Takes bytes from the client, appends answers to `out`, and returns at most one event.
    pub fn input<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<ServerHandshakeEvent<'a>>, Error> {
        let _ = (input, out);
        todo!()
    }

    /// Answers a [`ServerHandshakeEvent::LookUp`]: this is what the export is.
    pub fn offer(&mut self, offer: &Offer, out: &mut Vec<u8>) -> Result<(), Refused> {
        let _ = (offer, out);
        todo!()
    }

    /// Answers a [`ServerHandshakeEvent::List`] with names and descriptions.
    pub fn list<'n>(
        &mut self,
        exports: impl IntoIterator<Item = (&'n str, &'n str)>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let _ = (exports.into_iter().next(), out);
        todo!()
    }

    /// Answers any event with an error: for a look-up `ERR_UNKNOWN`, `ERR_POLICY`, … and words for people.
    pub fn refuse(&mut self, reply: ReplyType, message: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
        let _ = (reply, message, out);
        todo!()
    }

    /// TLS is up on the stream: everything agreed in clear is forgotten.
    pub fn tls_established(&mut self) -> Result<(), Refused> {
        todo!()
    }

    /// The server is being shut down: from now on every option but `ABORT` is answered with `ERR_SHUTDOWN`.
    pub fn begin_shutdown(&mut self) {
        todo!()
    }

    /// The client closed the stream. Returns why that is an error, and every later call does.
    pub fn eof(&mut self) -> Error {
        todo!()
    }

    /// The driver gives the connection up. Returns the error to show, and every later call does.
    pub fn give_up(&mut self, reason: &str) -> Error {
        let _ = reason;
        todo!()
    }

    /// The result, once the status is [`ServerStatus::Ready`]; otherwise an error.
    pub fn finish(self) -> Result<Accepted, Error> {
        todo!()
    }
}
