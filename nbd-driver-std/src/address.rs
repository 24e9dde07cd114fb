//! From an address to a connected socket.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nbd_proto::uri::Transport;
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::Error;
use crate::stream::Stream;

pub(crate) fn open(transport: &Transport, timeout: Option<Duration>) -> Result<Stream, Error> {
    match transport {
        Transport::Tcp { host, port } => {
            let host = host.to_string();
            let step = format!("looking up {host}");
            let addresses = (&host[..], *port).to_socket_addrs().map_err(|error| Error::io(step, error))?;
            tcp(&host, *port, addresses, timeout)
        }
        Transport::Unix { path } => {
            let shown = String::from_utf8_lossy(path);
            let step = format!("connecting to the Unix socket {}", shown.escape_debug());
            let address = SocketAddrUnix::new(&path[..]).map_err(|error| Error::io(&step[..], error))?;
            unix(&address, step, timeout)
        }
        Transport::UnixAbstract { name } => {
            let shown = String::from_utf8_lossy(name);
            let step = format!("connecting to the abstract Unix socket {}", shown.escape_debug());
            let address = SocketAddrUnix::new_abstract_name(name).map_err(|error| Error::io(&step[..], error))?;
            unix(&address, step, timeout)
        }
        _ => Err(Error::Unsupported("addresses of this kind (vsock) are understood, but not connected to yet")),
    }
}

/// Tries each address in the system's order; the last failure is the one told.
fn tcp(
    host: &str,
    port: u16,
    addresses: impl Iterator<Item = SocketAddr>,
    timeout: Option<Duration>,
) -> Result<Stream, Error> {
    let mut last =
        Error::io(format!("looking up {host}"), std::io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        let attempt = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match attempt {
            Ok(stream) => return Stream::new(stream.into()),
            Err(error) => {
                let step = format!("connecting to {host} port {port} ({address})");
                last = match timeout {
                    // The system's own time-out has a number, ours has none.
                    Some(after) if error.kind() == ErrorKind::TimedOut && error.raw_os_error().is_none() => {
                        Error::Timeout { step, after }
                    }
                    _ => Error::io(step, error),
                };
            }
        }
    }
    Err(last)
}

fn unix(address: &SocketAddrUnix, step: String, timeout: Option<Duration>) -> Result<Stream, Error> {
    let attempt = || -> rustix::io::Result<OwnedFd> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A full backlog blocks; the send time-out bounds that, and must be gone before the socket is used.
        set_socket_timeout(&socket, Timeout::Send, timeout)?;
        // With a time-out, a signal ends the call even where others go on (signal(7)).
        retry_on_intr(|| connect(&socket, address))?;
        set_socket_timeout(&socket, Timeout::Send, None)?;
        Ok(socket)
    };
    match attempt() {
        Ok(socket) => Stream::new(socket),
        Err(rustix::io::Errno::AGAIN) => Err(Error::Timeout { step, after: timeout.unwrap_or_default() }),
        Err(error) => Err(Error::io(step, error)),
    }
}
