//! News that nobody asked for: connections that died.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket;
use rustix::io::Errno;

use super::failure::{Failure, Malformed};
use super::family::Group;
use super::message::messages;
use super::session::parse_index;
use super::socket::{self, Received};
use super::uapi::command;

/// How many datagrams without an event are taken before the caller gets its turn again.
const MAX_IDLE: usize = 64;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A connection of the device of this index died unasked.
    LinkDead(u32),
    /// The kernel had more to tell than the socket could hold: any connection may be dead.
    Overrun,
}

/// A member of the driver's group. It is readable, for `poll`, when [`next`](Self::next) may have something; after
/// something was got, ask again until there is nothing.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Socket,
    family: u16,
    datagram: Vec<u8>,
    waiting: VecDeque<u32>,
}

impl Events {
    /// Whatever happens from now on is told.
    pub(crate) fn join(group: Group) -> io::Result<Self> {
        let (socket, _) = socket::open()?;
        socket.add_membership(group.id)?;
        Ok(Self { socket, family: group.family, datagram: Vec::new(), waiting: VecDeque::new() })
    }

    /// The next event, or `None` if there is none now. Never waits. After an error it can go on.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Failure> {
        for _ in 0..MAX_IDLE {
            if let Some(index) = self.waiting.pop_front() {
                return Ok(Some(Event::LinkDead(index)));
            }
            match socket::receive(&self.socket, &mut self.datagram) {
                Ok(Received::OfKernel) => parse(&self.datagram, self.family, &mut self.waiting)?,
                Ok(Received::OfStranger) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS) => return Ok(Some(Event::Overrun)),
                Err(errno) => return Err(Failure::Io(errno.into())),
            }
        }
        Ok(None)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Takes the devices out of a datagram whose connections died. Messages of other families and commands are skipped;
/// what comes before an error counts.
pub(crate) fn parse(datagram: &[u8], family: u16, into: &mut VecDeque<u32>) -> Result<(), Malformed> {
    for message in messages(datagram) {
        let message = message?;
        if message.kind != family {
            continue;
        }
        if let (command::LINK_DEAD, attributes) = message.command()? {
            into.push_back(parse_index(attributes)?);
        }
    }
    Ok(())
}
