//! How requests end, and how they are turned away.

use nbd_proto::error::{CommandError, Error, Refused};
use nbd_proto::transmission::{Command, ContextExtents};
use nbd_proto::wire::number::Cookie;

use crate::buffer::Buffer;

/// A request that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Completion {
    /// What [`submit`](super::Client::submit) returned for it.
    pub cookie: Cookie,
    /// The request.
    pub command: Command,
    /// Its buffer: of a `READ` that succeeded, filled; what a failed one holds means nothing.
    pub buffer: Buffer,
    /// What a `BLOCK_STATUS` brought.
    pub contexts: Vec<ContextExtents>,
    /// How it ended.
    pub result: Result<(), CommandError>,
}

/// A request that was not taken, with its buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Rejected {
    /// Why.
    pub why: Rejection,
    /// The buffer that was handed in.
    pub buffer: Buffer,
}

/// Why a request was not taken. Nothing was sent; the connection is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Not now: so many requests are in flight, or have completions that nobody has taken. Take a completion first.
    #[error("{limit} requests are in flight, which is the limit: not now")]
    TooManyRequests {
        /// [`ClientSettings::max_in_flight`](nbd_proto::transmission::ClientSettings::max_in_flight)
        limit: usize,
    },
    /// Not now: the buffers of requests in flight, and of completions that nobody has taken, would be more bytes than
    /// this. Take a completion first.
    #[error("the buffers in flight would be more than {limit} bytes, which is the limit: not now")]
    TooManyBytes {
        /// [`ClientOptions::max_bytes`](super::ClientOptions::max_bytes)
        limit: usize,
    },
    /// Never: the request breaks a rule, or the connection takes none any more.
    #[error(transparent)]
    Refused(Refused),
    /// Never: the connection is over.
    #[error(transparent)]
    Over(Error),
    /// Never: the buffer does not go with the command.
    #[error("{0}")]
    Buffer(&'static str),
}

impl Rejected {
    /// Whether the same request could be taken later, once a completion has been taken.
    pub const fn is_not_now(&self) -> bool {
        matches!(self.why, Rejection::TooManyRequests { .. } | Rejection::TooManyBytes { .. })
    }
}
