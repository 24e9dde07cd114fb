//! What a server's engine tells its caller.

use core::fmt;
use core::ops::Range;

use crate::wire::flags::CommandFlags;
use crate::wire::number::CommandType;

/// A server's own name for a request in flight: cookies are the client's, and may repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(in crate::transmission) u64);

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
    /// Where, in bytes from the start of the export. 0 for a `FLUSH`, which has no range.
    pub offset: u64,
    /// How many bytes: at least 1, but 0 for a `FLUSH`. For `READ` and `WRITE` at most the maximum payload, so that
    /// it fits 32 bits.
    pub length: u64,
    /// Whether a `READ` may be answered with [holes](super::ReadPart::Hole) without their zeroes being in the buffer.
    pub takes_holes: bool,
}

/// What a client wants. Borrows from the input, never from the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// A request came. It ends in exactly one [`Done`](Self::Done).
    ///
    /// The payload of a `WRITE` is still to come: [`receive`](super::Server::receive) consents to it, once there is a
    /// buffer of `length` bytes for it, and until then nothing more is read; [`fail`](super::Server::fail) lets it be
    /// skipped.
    Request(Request),
    /// Payload of a `WRITE` that came together with its header, or that the caller had read already.
    Data {
        /// The request.
        id: RequestId,
        /// Where in its buffer the bytes belong.
        range: Range<usize>,
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
