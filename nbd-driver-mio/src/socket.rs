//! Sockets, and other file descriptors that carry bytes both ways.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nbd_proto::uri::{Host, Transport};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay, socket_error, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, getpeername, recvmsg, sendmsg, shutdown, socket_with,
};

use crate::error::Error;
use crate::stream::{Stream, made};

/// A connected stream socket, one that is being connected, or any other file descriptor that carries bytes both ways.
///
/// No call of it ever waits, and none raises SIGPIPE on a socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    is_socket: bool,
}

impl Socket {
    /// Begins to connect to where a URI leads, as far as that needs no look-up: a Unix socket, an abstract one, or TCP
    /// with an IP address. What a host *name* stands for only a blocking call can tell: `nbd_driver_std::look_up` is one,
    /// to be made in a thread of the caller's; then [`connect`](Self::connect).
    pub fn open(transport: &Transport) -> Result<Self, Error> {
        match transport {
            Transport::Tcp { host, port } => {
                let address = match host {
                    Host::Ipv4(address) => SocketAddr::from((*address, *port)),
                    Host::Ipv6 { addr, zone: None } => SocketAddr::from((*addr, *port)),
                    _ => {
                        return Err(Error::Unsupported(
                            "a host name, or an IPv6 zone, has to be looked up before it is connected to",
                        ));
                    }
                };
                Self::connect(address).map_err(|error| Error::io(format!("connecting to {address}"), error))
            }
            Transport::Unix { path } => {
                let step = || format!("connecting to the Unix socket {}", String::from_utf8_lossy(path).escape_debug());
                SocketAddrUnix::new(&path[..]).and_then(|at| unix(&at)).map_err(|error| Error::io(step(), error))
            }
            Transport::UnixAbstract { name } => {
                let shown = String::from_utf8_lossy(name);
                let step = || format!("connecting to the abstract Unix socket {}", shown.escape_debug());
                SocketAddrUnix::new_abstract_name(name)
                    .and_then(|at| unix(&at))
                    .map_err(|error| Error::io(step(), error))
            }
            _ => Err(Error::Unsupported("addresses of this kind (vsock) are understood, but not connected to yet")),
        }
    }

    /// Begins to connect by TCP. A refusal may come at once, or as an error of the handshake that follows.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let family = match address.ip() {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        match connect(&fd, &address) {
            // A signal does not stop it either (connect(2)).
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self::of_socket(fd)),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects to a Unix socket. Where its queue of connections is full, that is
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and no event tells when there is room: try again after some time.
    pub fn connect_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(unix(&SocketAddrUnix::new(path.as_ref())?)?)
    }

    /// Takes a file descriptor: a connected stream socket, which is not changed, or anything else that can be polled and
    /// carries bytes both ways, which is made non-blocking.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        match socket_type(&fd) {
            Ok(SocketType::STREAM) => {
                // On one that is not connected, nothing would ever come.
                getpeername(&fd)?;
                Ok(Self::of_socket(fd))
            }
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket, but not one of streams")),
            Err(Errno::NOTSOCK) => {
                fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
                Ok(Self { fd, is_socket: false })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn of_socket(fd: OwnedFd) -> Self {
        // "both the client and server SHOULD disable Nagle's algorithm" (spec, *Protocol phases*). On sockets that
        // are not TCP both fail, and nothing is missing.
        let _ = set_tcp_nodelay(&fd, true);
        let _ = set_socket_keepalive(&fd, true);
        Self { fd, is_socket: true }
    }
}

fn unix(address: &SocketAddrUnix) -> rustix::io::Result<Socket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&fd, address)?;
    Ok(Socket::of_socket(fd))
}

impl Stream for Socket {
    fn is_connected(&mut self) -> io::Result<bool> {
        if !self.is_socket {
            return Ok(true);
        }
        socket_error(&self.fd)??;
        made(getpeername(&self.fd).map_err(io::Error::from))
    }

    fn hang_up(&mut self) {
        if self.is_socket {
            // It may be closed at the other end.
            let _ = shutdown(&self.fd, Shutdown::Both);
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if !self.is_socket {
            return Ok(rustix::io::readv(&self.fd, buffers)?);
        }
        let flags = RecvFlags::DONTWAIT;
        Ok(recvmsg(&self.fd, buffers, &mut RecvAncillaryBuffer::default(), flags)?.bytes)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.is_socket {
            return Ok(rustix::io::writev(&self.fd, buffers)?);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(sendmsg(&self.fd, buffers, &mut SendAncillaryBuffer::default(), flags)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.fd.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.fd.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.fd.as_raw_fd()).deregister(registry)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}
