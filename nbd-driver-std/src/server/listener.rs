//! Sockets that clients connect to.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nbd_proto::text::Escaped;
use nbd_proto::uri::NbdUri;
use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with, bind, getsockname, listen};

use super::inherited;
use super::socket_file::{SocketFile, stream_socket};
use crate::error::Error;

/// How many clients may have connected before they are accepted. The system has a bound of its own.
const BACKLOG: i32 = 128;

/// A socket that is bound and listening: clients can connect from here on, whether anyone accepts yet or not.
///
/// A socket file that was made for one is removed when the server stops, or when this is dropped.
#[derive(Debug)]
pub struct Listener {
    /// Kept for its end, which comes before that of the socket: while the socket is there, no other server takes the
    /// path, and the file's number is not given to another.
    _file: Option<SocketFile>,
    socket: OwnedFd,
    address: Address,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    UnixAbstract(Vec<u8>),
    Other,
}

impl Listener {
    /// Listens on a TCP port; port 0 lets the system choose one. Of several addresses the first that works is taken.
    pub fn tcp(addresses: impl ToSocketAddrs) -> Result<Self, Error> {
        let addresses: Vec<_> = addresses
            .to_socket_addrs()
            .map_err(|error| Error::io("looking up an address to listen on", error))?
            .collect();
        let listener = TcpListener::bind(&addresses[..]).map_err(|error| {
            let shown: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
            Error::io(format!("listening on TCP {}", shown.join(", ")), error)
        })?;
        Self::from_fd(listener.into())
    }

    /// Listens on a Unix socket in the file system. A socket file that nobody listens on any more is replaced; a
    /// server that is at work there is not, nor is a file of another kind. Who may connect is up to the permissions
    /// of the directory and to the umask.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let step = || format!("listening on the Unix socket {}", Escaped(&path.to_string_lossy()));
        let (socket, file) = SocketFile::bind(path, BACKLOG).map_err(|error| Error::io(step(), error))?;
        // The directory of work may change.
        let path = std::path::absolute(path).map_err(|error| Error::io(step(), error))?;
        Ok(Self { socket, address: Address::Unix(path), _file: Some(file) })
    }

    /// Listens on a Unix socket in Linux's abstract name space. The name comes without its leading NUL. Whoever is
    /// in the same network name space may connect.
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> Result<Self, Error> {
        let name = name.as_ref();
        let attempt = || -> io::Result<OwnedFd> {
            if name.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is empty"));
            }
            let address = SocketAddrUnix::new_abstract_name(name)?;
            let socket = stream_socket()?;
            bind(&socket, &address)?;
            listen(&socket, BACKLOG)?;
            Ok(socket)
        };
        let shown = String::from_utf8_lossy(name);
        let step = format!("listening on the abstract Unix socket {}", Escaped(&shown));
        let socket = attempt().map_err(|error| Error::io(step, error))?;
        Ok(Self { socket, address: Address::UnixAbstract(name.to_vec()), _file: None })
    }

    /// The sockets that a service manager passed to this process (systemd's socket activation: `LISTEN_FDS`
    /// descriptors from 3 on, if `LISTEN_PID` is this process); none if there is no such manager.
    ///
    /// The variables are removed from the environment, so that programs started later do not take them for theirs
    /// and a second call finds none. Changing the environment is safe only while nothing else uses it: call this
    /// first, before any thread is started.
    pub fn inherited() -> Result<Vec<Self>, Error> {
        inherited::sockets()?.into_iter().map(Self::from_fd).collect()
    }

    /// Takes a stream socket that listens already, of whatever family. It is made non-blocking. Its file, if it has
    /// one, is not removed.
    pub fn from_fd(socket: OwnedFd) -> Result<Self, Error> {
        let failed = |error| Error::io("looking at the given file descriptor", error);
        if socket_type(&socket).map_err(failed)? != SocketType::STREAM || !socket_acceptconn(&socket).map_err(failed)? {
            return Err(Error::Unsupported("the given file descriptor is not a stream socket that listens"));
        }
        ioctl_fionbio(&socket, true).map_err(failed)?;
        let address = Address::from(getsockname(&socket).map_err(failed)?);
        Ok(Self { socket, address, _file: None })
    }

    /// An NBD URI by which a client on this machine reaches an export here. Errors if the name is longer than 4096
    /// bytes or has a NUL in it, or if sockets of this family have no URI.
    pub fn uri(&self, export: &str) -> Result<String, Error> {
        let uri = match &self.address {
            Address::Tcp(address) => NbdUri::tcp(&reachable(*address), address.port())?,
            Address::Unix(path) => NbdUri::unix(path.as_os_str().as_bytes())?,
            Address::UnixAbstract(name) => NbdUri::unix_abstract(&name[..])?,
            Address::Other => return Err(Error::Unsupported("there are no URIs for sockets of this family")),
        };
        Ok(uri.with_export_name(export)?.to_string())
    }

    /// The TCP port, if it is a TCP socket.
    pub fn port(&self) -> Option<u16> {
        match self.address {
            Address::Tcp(address) => Some(address.port()),
            _ => None,
        }
    }

    /// The path, if it is a Unix socket in the file system. Absolute, unless an inherited socket was bound to
    /// another.
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// Takes the next connection, with words for who is at the other end. Never waits.
    pub(super) fn accept(&self) -> rustix::io::Result<(OwnedFd, String)> {
        let (socket, peer) = acceptfrom_with(&self.socket, SocketFlags::CLOEXEC)?;
        let peer = match (peer.map(Address::from), &self.address) {
            (Some(Address::Tcp(address)), _) => address.to_string(),
            // Clients rarely give their end a name.
            (_, Address::Unix(path)) => format!("a client on {}", Escaped(&path.to_string_lossy())),
            (_, Address::UnixAbstract(name)) => format!("a client on @{}", Escaped(&String::from_utf8_lossy(name))),
            _ => "a client".into(),
        };
        Ok((socket, peer))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<SocketAddrAny> for Address {
    fn from(address: SocketAddrAny) -> Self {
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            return Self::Tcp(address);
        }
        let Ok(address) = SocketAddrUnix::try_from(address) else { return Self::Other };
        match (address.path_bytes(), address.abstract_name()) {
            (Some(path), _) => Self::Unix(std::ffi::OsString::from_vec(path.to_vec()).into()),
            (None, Some(name)) => Self::UnixAbstract(name.to_vec()),
            (None, None) => Self::Other,
        }
    }
}

/// A host by which this address is reached; where it stands for all, the loopback.
fn reachable(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => IpAddr::from([127, 0, 0, 1]).to_string(),
        SocketAddr::V6(_) if address.ip().is_unspecified() => "::1".into(),
        SocketAddr::V6(address) if address.scope_id() != 0 => format!("{}%{}", address.ip(), address.scope_id()),
        _ => address.ip().to_string(),
    }
}
