//! The server's engine of the transmission phase.

use alloc::boxed::Box;
use core::fmt;

use super::inbound::Landing;
use super::outbound::Outbound;
use crate::error::{Error, Refused};
use crate::handshake::{Accepted, Advance, Negotiated};
use crate::observe::Observer;
use crate::wire::chunk::Descriptor;
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, ContextId, ErrorValue};

/// What a [`Server`] is told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSettings {
    /// How many requests may be in flight. At the limit nothing more is read. From 1 to 65,536, a value out of
    /// range is moved into it; default 128.
    pub max_in_flight: usize,
    /// How many bytes of payload are skipped of a request that cannot be carried out. A request with more ends the
    /// connection. Default 64 MiB, twice what any client may take for granted.
    pub max_skipped: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { max_in_flight: 128, max_skipped: 64 << 20 }
    }
}

impl ServerSettings {
    /// Sets [`max_in_flight`](Self::max_in_flight).
    #[must_use]
    pub fn with_max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests.clamp(1, 65_536);
        self
    }

    /// Sets [`max_skipped`](Self::max_skipped).
    #[must_use]
    pub const fn with_max_skipped(mut self, bytes: u64) -> Self {
        self.max_skipped = bytes;
        self
    }
}

/// A server's own name for a request in flight: cookies are the client's, and may repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

impl RequestId {
    /// The dense half: below the limit of requests in flight, and unlike that of any other request in flight. An
    /// index for side tables.
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({:#x})", self.0)
    }
}

/// A request that keeps all rules: it is within the export, aligned, offered, and its flags go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// What to do: any command but `DISC` and `RESIZE`.
    pub command: CommandType,
    /// How. `PAYLOAD_LEN` is not shown: it is the engine's business.
    pub flags: CommandFlags,
    /// Where, in bytes from the start of the export.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// Whether a `READ` may be answered with [`ReadPart::Hole`]s without their zeroes being in the buffer.
    pub takes_holes: bool,
}

/// What a client wants. Borrows from the input, never from the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// A request came. It ends in exactly one [`Done`](Self::Done).
    ///
    /// The payload of a `WRITE` is still to come: [`receive`](Server::receive) consents to it, once there is a buffer
    /// of `length` bytes for it, and until then nothing more is read; [`fail`](Server::fail) lets it be skipped.
    Request(Request),
    /// Payload of a `WRITE` that came together with its header, or that the caller had read already.
    Data {
        /// The request.
        id: RequestId,
        /// Where in its buffer the bytes belong.
        range: core::ops::Range<usize>,
        /// The bytes, as many as `range` is long.
        bytes: &'a [u8],
    },
    /// The payload of a `WRITE` is there in full: now it can be carried out.
    Received {
        /// The request.
        id: RequestId,
    },
    /// The engine is through with a request: its answer was sent, or the connection is over. Its buffer is free, as
    /// far as the engine is concerned.
    Done {
        /// The request.
        id: RequestId,
        /// Whether the answer went out in full.
        sent: bool,
    },
    /// The client asked for a soft disconnect: nothing more will be read. What is in flight is still to be answered,
    /// then the connection is to be closed.
    Disconnect,
}

/// A part of the answer to a `READ`. Parts follow each other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPart {
    /// So many bytes from the buffer.
    Data(u64),
    /// So many zeroes. Sent as a hole if the request [takes holes](Request::takes_holes), otherwise from the buffer,
    /// which then has to hold them.
    Hole(u64),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The error. 0 counts as `EIO`.
    pub error: ErrorValue,
    /// Words for people; may be empty. Cut at 4096 bytes. Sent where the style of replies has room for it.
    pub message: &'a str,
    /// Where it happened, in bytes from the start of the export, if that is known.
    pub offset: Option<u64>,
}

/// The server's engine: turns what comes in into requests, and answers into bytes that go out.
#[derive(Debug)]
pub struct Server {}

#[allow(clippy::todo, clippy::unused_self, clippy::needless_pass_by_value, unused_variables, reason = "skeleton")]
impl Server {
    /// An engine for the connection that a handshake has ended in.
    pub fn new(accepted: Accepted, settings: ServerSettings) -> Self {
        todo!()
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        todo!()
    }

    /// What the handshake agreed on.
    pub const fn negotiated(&self) -> &Negotiated {
        todo!()
    }

    /// How many requests have not had their `Done`, those included that the engine answers by itself.
    pub fn in_flight(&self) -> usize {
        todo!()
    }

    /// Whether more input can be used now. It cannot while the limit of requests in flight is reached, while a
    /// `WRITE` awaits consent, after a disconnect, and once the connection is over. May change after every call.
    pub fn wants_read(&self) -> bool {
        todo!()
    }

    /// Whether [`outbound`](Self::outbound) has anything.
    pub fn wants_write(&self) -> bool {
        todo!()
    }

    /// Why the connection is over, once it is.
    pub const fn over(&self) -> Option<&Error> {
        todo!()
    }

    /// Whether the client asked for a soft disconnect.
    pub const fn is_disconnecting(&self) -> bool {
        todo!()
    }

    /// The contexts that a `BLOCK_STATUS` request asks about; empty for any other.
    pub fn contexts(&self, id: RequestId) -> &[ContextId] {
        todo!()
    }

    /// Takes bytes from the network, and returns how many were consumed and at most one event. An empty slice is a
    /// legal call: an event may be due without input.
    pub fn input<'a>(&mut self, input: &'a [u8]) -> Result<Advance<ServerEvent<'a>>, Error> {
        todo!()
    }

    /// Consents to the payload of a `WRITE`: there is a buffer for it.
    pub fn receive(&mut self, id: RequestId) -> Result<(), Refused> {
        todo!()
    }

    /// Where the next bytes from the network belong, if they are payload that can be received in place.
    pub fn landing(&self) -> Option<Landing<RequestId>> {
        todo!()
    }

    /// Commits that `count` bytes have been received at the start of the [`landing`](Self::landing).
    pub fn landed(&mut self, count: usize) {
        todo!()
    }

    /// Answers with success a request whose answer has no content: any but `READ` and `BLOCK_STATUS`.
    pub fn finish(&mut self, id: RequestId) -> Result<(), Refused> {
        todo!()
    }

    /// Answers a `READ`. The parts cover its whole length; its buffer is asked for what is sent from it.
    pub fn finish_read(&mut self, id: RequestId, parts: &[ReadPart]) -> Result<(), Refused> {
        todo!()
    }

    /// Answers a `BLOCK_STATUS`: for each context that it [asks about](Self::contexts), what consecutive ranges from
    /// the request's offset on are like.
    pub fn finish_status(&mut self, id: RequestId, answers: &[(ContextId, &[Descriptor])]) -> Result<(), Refused> {
        todo!()
    }

    /// Answers any request with an error.
    pub fn fail(&mut self, id: RequestId, failure: &Failure<'_>) -> Result<(), Refused> {
        todo!()
    }

    /// The server is being shut down: requests that come from now on are answered with `ESHUTDOWN`.
    pub fn begin_shutdown(&mut self) {
        todo!()
    }

    /// What is to be sent next, in order. Looking changes nothing.
    pub fn outbound(&self) -> Outbound<'_, RequestId> {
        todo!()
    }

    /// Commits that `count` bytes of [`outbound`](Self::outbound) have gone out. Any cut is fine.
    pub fn sent(&mut self, count: usize) {
        todo!()
    }

    /// The client closed the stream. What was in flight gets its `Done` from [`input`](Self::input).
    pub fn eof(&mut self) {
        todo!()
    }

    /// The driver gives the connection up, and says why. What was in flight gets its `Done` from
    /// [`input`](Self::input).
    pub fn give_up(&mut self, reason: &str) {
        todo!()
    }
}
