//! What all netlink sockets have in common.

use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SocketAddrAny, recvfrom};

/// The longest datagram that is received. All devices there can be take less than one.
const MAX_DATAGRAM: usize = 16 << 20;

/// Port 0 is the kernel's.
const KERNEL: u32 = 0;

/// Who sent what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    OfKernel,
    /// Any process can send to a netlink socket.
    OfStranger,
}

/// A socket that is bound, and its port.
pub(super) fn open() -> io::Result<(Socket, u32)> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    let port = socket.bind_auto()?.port_number();
    // Now the kernel refuses what strangers would send.
    socket.connect(&SocketAddr::new(KERNEL, 0))?;
    Ok((socket, port))
}

/// Takes the next datagram, if one is there; `Errno::AGAIN` if not. One that is too long is lost.
pub(super) fn receive(socket: &Socket, into: &mut Vec<u8>) -> Result<Received, Errno> {
    let look = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    let (_, length, _) = retry_on_intr(|| recvfrom(socket, &mut [0_u8; 0], look))?;
    into.clear();
    if length <= MAX_DATAGRAM {
        into.reserve(length);
    }
    let take = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    let (written, length, sender) = retry_on_intr(|| recvfrom(socket, spare_capacity(into), take))?;
    if length > written {
        return Err(Errno::MSGSIZE);
    }
    Ok(if sender.and_then(port) == Some(KERNEL) { Received::OfKernel } else { Received::OfStranger })
}

fn port(sender: SocketAddrAny) -> Option<u32> {
    SocketAddrNetlink::try_from(sender).ok().map(|address| address.pid())
}
