//! From an address to a connected socket.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nbd_proto::uri::{Host, Transport};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::Error;
use crate::stream::Stream;

/// All addresses that a host of an NBD URI has, each with this port, in the system's order of preference: the order to
/// try them in. There is at least one.
///
/// **This blocks**, for as long as the system's resolver takes: on most systems many seconds, if no name server answers.
/// It is for those who connect by an event loop of their own, and must not wait in it: call this in a thread, or before
/// the loop begins. [`Client`](crate::Client) and [`ConnectOptions`](crate::ConnectOptions) look up by themselves. A host
/// that is a number is not asked for anywhere, and does not block.
///
/// It takes the host and not the [`Transport`], because nothing but [`Transport::Tcp`] has one to look up:
///
/// ```
/// use nbd_driver_std::nbd_proto::uri::{NbdUri, Transport};
///
/// let uri: NbdUri = "nbd://127.0.0.1:10810/disk".parse()?;
/// if let Transport::Tcp { host, port } = uri.transport() {
///     for address in nbd_driver_std::look_up(host, *port)? {
///         assert_eq!(address.to_string(), "127.0.0.1:10810");
///     }
/// }
/// # Ok::<(), nbd_driver_std::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`], which names the host: the system does not know it, cannot ask, or knows no address of it.
pub fn look_up(host: &Host, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let name = host.to_string();
    let addresses: Vec<_> =
        (&name[..], port).to_socket_addrs().map_err(|error| Error::io(looking_up(host), error))?.collect();
    if addresses.is_empty() { Err(without_address(host)) } else { Ok(addresses) }
}

fn looking_up(host: &Host) -> String {
    format!("looking up {host}")
}

fn without_address(host: &Host) -> Error {
    Error::io(looking_up(host), std::io::Error::new(ErrorKind::NotFound, "the name has no address"))
}

pub(crate) fn open(transport: &Transport, timeout: Option<Duration>) -> Result<Stream, Error> {
    match transport {
        Transport::Tcp { host, port } => tcp(host, look_up(host, *port)?, timeout),
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

/// Tries each address in turn; the last failure is the one told.
fn tcp(host: &Host, addresses: Vec<SocketAddr>, timeout: Option<Duration>) -> Result<Stream, Error> {
    let mut last = without_address(host);
    for address in addresses {
        let attempt = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match attempt {
            Ok(stream) => return Stream::new(stream.into()),
            Err(error) => {
                let step = format!("connecting to {host} port {} ({address})", address.port());
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
