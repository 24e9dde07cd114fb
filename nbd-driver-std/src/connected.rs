//! A connection that has been negotiated and is not used yet.

use std::os::fd::OwnedFd;

use nbd_proto::handshake::Negotiated;

/// What [`ConnectOptions::negotiate`](crate::ConnectOptions::negotiate) ends in: the way out of this crate, for those
/// who drive the transmission phase themselves or hand the connection to the kernel.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected {
    /// What was agreed on.
    pub negotiated: Negotiated,
    /// The connected socket, blocking or not as it was opened. No byte of the transmission phase has been sent on it.
    pub socket: OwnedFd,
    /// Bytes behind the handshake that have been received already. A server has no reason to send any before the first
    /// request, so this is empty with every sane one.
    pub unread: Vec<u8>,
}
