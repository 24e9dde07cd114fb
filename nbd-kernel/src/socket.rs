//! What the kernel wants of a socket.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, getpeername, ipproto, recv};

use crate::connection::NotForKernel;

/// A peer that has vanished without a word is noticed after this much silence and then [`KEEP_ALIVE_PROBES`] probes,
/// instead of after the system's two hours.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PROBES: u32 = 6;
/// The same for a peer that vanishes while something is on its way to it, in milliseconds.
const UNACKNOWLEDGED: u32 = 120_000;

fn failed(step: &'static str) -> impl Fn(Errno) -> NotForKernel {
    move |errno| NotForKernel::Socket { step, source: errno.into() }
}

/// Refuses what the kernel would refuse, or take and then fail with.
pub(crate) fn check(socket: &OwnedFd) -> Result<(), NotForKernel> {
    let family = sockopt::socket_domain(socket).map_err(failed("asking for its family"))?;
    let kind = sockopt::socket_type(socket).map_err(failed("asking for its type"))?;
    match kind {
        SocketType::STREAM => {}
        SocketType::DGRAM => return Err(NotForKernel::SocketKind("a datagram socket")),
        SocketType::SEQPACKET => return Err(NotForKernel::SocketKind("a seqpacket socket")),
        _ => return Err(NotForKernel::SocketKind("of another type")),
    }
    match family {
        AddressFamily::UNIX => {}
        AddressFamily::INET | AddressFamily::INET6 => {
            let protocol = sockopt::socket_protocol(socket).map_err(failed("asking for its protocol"))?;
            if protocol != Some(ipproto::TCP) {
                return Err(NotForKernel::SocketKind("of another protocol than TCP"));
            }
        }
        _ => return Err(NotForKernel::SocketKind("neither TCP nor Unix")),
    }
    match getpeername(socket) {
        Ok(_) => {}
        Err(Errno::NOTCONN) => return Err(NotForKernel::NotConnected),
        Err(errno) => return Err(failed("asking for the other end")(errno)),
    }
    // The server is silent until the first request: whatever can be read here is the end, or does not belong here.
    let mut byte = [0];
    match recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Err(NotForKernel::NotConnected),
        Ok((_, count)) => Err(NotForKernel::Unread(count)),
        Err(Errno::AGAIN) => Ok(()),
        Err(Errno::CONNRESET) => Err(NotForKernel::NotConnected),
        Err(errno) => Err(failed("looking for the server's end")(errno)),
    }
}

/// Clears what would end the connection in the kernel, and sets what the kernel does not set.
pub(crate) fn prepare(socket: &OwnedFd) -> Result<(), NotForKernel> {
    // With one of these the kernel's receiver gives the connection up when the server is idle for that long.
    sockopt::set_socket_timeout(socket, Timeout::Recv, None).map_err(failed("clearing SO_RCVTIMEO"))?;
    sockopt::set_socket_timeout(socket, Timeout::Send, None).map_err(failed("clearing SO_SNDTIMEO"))?;
    if sockopt::socket_domain(socket).map_err(failed("asking for its family"))? == AddressFamily::UNIX {
        return Ok(());
    }
    sockopt::set_tcp_nodelay(socket, true).map_err(failed("setting TCP_NODELAY"))?;
    sockopt::set_socket_keepalive(socket, true).map_err(failed("setting SO_KEEPALIVE"))?;
    sockopt::set_tcp_keepidle(socket, KEEP_ALIVE_IDLE).map_err(failed("setting TCP_KEEPIDLE"))?;
    sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE_INTERVAL).map_err(failed("setting TCP_KEEPINTVL"))?;
    sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE_PROBES).map_err(failed("setting TCP_KEEPCNT"))?;
    sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED).map_err(failed("setting TCP_USER_TIMEOUT"))
}

/// Whether nothing can go over it any more in either direction: the peer has gone, or the kernel gave it up.
pub(crate) fn is_dead(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A hang-up is told whether it is asked for or not.
    matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Whether something can be sent, at once or within this time. A dead one has room, too: sending fails at once.
pub(crate) fn has_room(socket: &OwnedFd, time: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let time =
        Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) };
    // A signal that ends the wait counts as an answer: whoever relies on it has a second way.
    !matches!(poll(&mut fds, Some(&time)), Ok(0))
}

/// Ends it for whoever waits for it, the kernel's own client too.
pub(crate) fn shut_down(socket: &OwnedFd) {
    // It fails when the other side has gone, which is what it is for.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}
