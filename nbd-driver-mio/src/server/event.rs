//! What a server connection tells its caller.

use bytes::BytesMut;
use nbd_proto::error::Refused;
use nbd_proto::transmission::{Request, RequestId};

use crate::buffer::Buffer;

/// What a client wants, and what became of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A request has come in full. Answer it, in any order and at any time, with [`finish`](super::Server::finish),
    /// [`finish_read`](super::Server::finish_read), [`finish_status`](super::Server::finish_status) or
    /// [`fail`](super::Server::fail). It ends in exactly one [`Done`](Self::Done).
    Request {
        /// The request.
        request: Request,
        /// What a `WRITE` is to write, as many bytes as its length; otherwise empty. The caller's now:
        /// [`reuse`](super::Server::reuse) takes it back.
        payload: BytesMut,
    },
    /// The answer to a request was sent, or the connection is over.
    Done {
        /// The request.
        id: RequestId,
        /// What a `READ` was answered with.
        buffer: Buffer,
        /// Whether the answer went out in full.
        sent: bool,
    },
}

/// An answer to a `READ` that was not taken, with its buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct RefusedAnswer {
    /// Why.
    pub why: Refused,
    /// The buffer that was handed in.
    pub buffer: Buffer,
}
