//! A listening socket that the kit binds and a server inherits, and the URI that leads to it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where clients find a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    pub(crate) fn uri(&self, export: &str) -> String {
        let export = escape(export.as_bytes());
        match self {
            Self::Unix(path) => {
                let path = escape(path.as_os_str().as_bytes());
                format!("nbd+unix:///{export}?socket={path}")
            }
            Self::Tcp(address) => format!("nbd://{address}/{export}"),
        }
    }
}

/// Kinds of sockets to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Transport {
    #[default]
    Unix,
    Tcp,
}

#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    pub(crate) address: Address,
}

impl Listener {
    /// Clients can connect from here on, whether anyone accepts yet or not.
    pub(crate) fn bind(transport: Transport, dir: &Path) -> Self {
        match transport {
            Transport::Unix => {
                let path = dir.join("socket");
                let fd = UnixListener::bind(&path).expect("listen on a Unix socket").into();
                Self { fd, address: Address::Unix(path) }
            }
            Transport::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on 127.0.0.1");
                let address = listener.local_addr().expect("the listener's port");
                Self { fd: listener.into(), address: Address::Tcp(address) }
            }
        }
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub(crate) fn accept(&self) -> rustix::io::Result<OwnedFd> {
        rustix::net::accept_with(&self.fd, rustix::net::SocketFlags::CLOEXEC)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one of these can be read or has ended: the index of the first, or `None` in time.
pub(crate) fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Option<usize> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let timeout = timeout.map(|time| Timespec::try_from(time).expect("a short time"));
    rustix::io::retry_on_intr(|| poll(&mut polled, timeout.as_ref())).expect("poll");
    polled.iter().position(|fd| !fd.revents().is_empty())
}

/// Percent-encodes all but the characters that mean nothing in any part of a URI.
fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => write!(text, "%{byte:02X}").expect("a String takes everything"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn uris_are_escaped() {
        let unix = Address::Unix("/tmp/a b/s".into());
        assert_eq!(unix.uri(""), "nbd+unix:///?socket=/tmp/a%20b/s");
        assert_eq!(unix.uri("ä/?"), "nbd+unix:///%C3%A4/%3F?socket=/tmp/a%20b/s");
        let tcp = Address::Tcp(([127, 0, 0, 1], 5).into());
        assert_eq!(tcp.uri("x"), "nbd://127.0.0.1:5/x");
    }
}
