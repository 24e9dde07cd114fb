//! A socket to the kernel.

use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use netlink_sys::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

use super::socket::{self, Received};

/// The kernel answers before the request's system call returns; this is for when it does not answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for a list of all the devices that there can be (20 bytes for each of 32768), and for the acknowledgement
/// behind it: what finds no room is lost. The kernel allows twice this for its own bookkeeping.
const BUFFER: usize = 1 << 20;

/// One datagram socket to the kernel. A test puts a script in its place.
pub(crate) trait Wire: Send {
    /// The socket's own address: answers to its requests carry it.
    fn port(&self) -> u32;

    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Receives one datagram of the kernel, whole, in place of what is in `into`. Waits a bounded time.
    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()>;
}

/// The wire to the kernel that runs.
#[derive(Debug)]
pub(crate) struct KernelWire {
    socket: Socket,
    port: u32,
}

impl KernelWire {
    pub(crate) fn open() -> io::Result<Self> {
        let (socket, port) = socket::open()?;
        socket.set_ext_ack(true)?;
        // The request is known: its header is enough to come back.
        socket.set_cap_ack(true)?;
        // Without the right to force it, it grows as far as the system's limit: enough for some thousand devices.
        if set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
            set_socket_recv_buffer_size(&socket, BUFFER)?;
        }
        Ok(Self { socket, port })
    }
}

impl Wire for KernelWire {
    fn port(&self) -> u32 {
        self.port
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // A datagram goes whole or not at all.
        self.socket.send(message, 0).map(drop)
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match socket::receive(&self.socket, into) {
                Ok(Received::OfKernel) => return Ok(()),
                Ok(Received::OfStranger) => {}
                Err(Errno::AGAIN) => wait(&self.socket, deadline)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn wait(socket: &Socket, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    match retry_on_intr(|| poll(&mut fds, Some(&left)))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer")),
        _ => Ok(()),
    }
}
