//! A connection on its way to the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nbd_driver_std::ConnectOptions;
use nbd_proto::handshake::{Negotiated, ReplyStyle};
use nbd_proto::uri::NbdUri;

use crate::error::Error;
use crate::export::Export;
use crate::socket;

/// A socket that the kernel can speak NBD on, and what was agreed on it. All that can be wrong with either was checked
/// when the value was made; a [`Device`](crate::Device) is made of nothing else.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    export: Export,
}

/// Why a connection cannot be handed to the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotForKernel {
    /// The kernel's client speaks simple replies only.
    #[error("{0} replies were negotiated, and the kernel takes simple ones only: do not ask the server for others")]
    ReplyStyle(ReplyStyle),
    /// The kernel's client knows no metadata contexts.
    #[error("{0} metadata contexts were negotiated, and the kernel knows none: do not ask the server for any")]
    Contexts(usize),
    /// Bytes of the transmission phase are in a buffer, where the kernel cannot read them.
    #[error("{0} bytes that the server sent behind the handshake have been received already: it breaks the protocol")]
    Unread(usize),
    /// The connection is inside TLS, which user space does.
    #[error("the connection is inside TLS, which the kernel's client does not speak")]
    Tls,
    /// The kernel's client wants a TCP or a Unix stream socket.
    #[error("the socket is {0}, and the kernel takes TCP and Unix stream sockets only")]
    SocketKind(&'static str),
    /// The socket is not connected.
    #[error("the socket is not connected, or not any more")]
    NotConnected,
    /// The socket could not be looked at or prepared.
    #[error("preparing the socket, {step}: {source}")]
    Socket {
        /// What was tried.
        step: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Connection {
    /// Connects to an export and negotiates what the kernel can speak, and nothing beyond. What `options` say about
    /// reply styles is overruled.
    pub fn open(uri: &NbdUri, options: &ConnectOptions) -> Result<Self, Error> {
        let options = options.clone().structured_replies(false).extended_headers(false);
        let connected = options.negotiate_uri(uri)?;
        Ok(Self::new(connected.negotiated, connected.socket, &connected.unread)?)
    }

    /// Takes a connection that was negotiated by other means. `unread` is what has been received behind the handshake
    /// and must be empty. The socket's time-outs are cleared, and on TCP `TCP_NODELAY` and keep-alive are set.
    pub fn new(negotiated: Negotiated, socket: impl Into<OwnedFd>, unread: &[u8]) -> Result<Self, NotForKernel> {
        if negotiated.reply_style != ReplyStyle::Simple {
            return Err(NotForKernel::ReplyStyle(negotiated.reply_style));
        }
        if !negotiated.contexts.is_empty() {
            return Err(NotForKernel::Contexts(negotiated.contexts.len()));
        }
        if negotiated.tls {
            return Err(NotForKernel::Tls);
        }
        if !unread.is_empty() {
            return Err(NotForKernel::Unread(unread.len()));
        }
        let socket = socket.into();
        socket::check(&socket)?;
        socket::prepare(&socket)?;
        Ok(Self { socket, export: Export::from(negotiated) })
    }

    /// What the server told.
    pub fn export(&self) -> &Export {
        &self.export
    }

    /// Gives the socket up to whoever keeps it beside the kernel.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
