//! What is asked of a device: to come into being, or to change.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::DefaultNla;

use super::failure::Failure;
use super::request::{Request, nested, string, u32, u64};
use super::uapi::{attribute, command, socket};

/// An identifier is shown in sysfs, where a value has one page (4096 bytes), line end and NUL included.
const MAX_IDENTIFIER: usize = 4000;

/// An item takes 12 bytes of a list, whose length, with its header of 4 bytes, is a number of 16 bits.
const MAX_SOCKETS: usize = (u16::MAX as usize - 4) / 12;

bitflags::bitflags! {
    /// How a device ends.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct ClientFlags: u64 {
        /// The device and its node vanish when it is disconnected.
        const DESTROY_ON_DISCONNECT = 1 << 0;
        /// The device is disconnected when nobody has it open any more.
        const DISCONNECT_ON_CLOSE = 1 << 1;
    }
}

/// A device that shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect<'a> {
    /// Which one; `None` for the first that is free.
    pub(crate) index: Option<u32>,
    /// In bytes.
    pub(crate) size: u64,
    /// In bytes.
    pub(crate) block_size: u64,
    /// How long a request may take, in seconds.
    pub(crate) timeout: Option<u64>,
    /// How long a dead connection is waited for, in seconds.
    pub(crate) dead_timeout: Option<u64>,
    /// The transmission flags, as negotiated.
    pub(crate) server_flags: u64,
    pub(crate) client_flags: ClientFlags,
    /// Whoever would change the device must know it. At most 4000 bytes, none of them NUL.
    pub(crate) identifier: Option<&'a str>,
    /// The connections, at most 5460.
    pub(crate) sockets: &'a [BorrowedFd<'a>],
}

/// What shall be different; `None` and an empty list for what stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reconfigure<'a> {
    /// In bytes.
    pub(crate) size: Option<u64>,
    /// In bytes.
    pub(crate) block_size: Option<u64>,
    /// How long a request may take, in seconds.
    pub(crate) timeout: Option<u64>,
    /// How long a dead connection is waited for, in seconds.
    pub(crate) dead_timeout: Option<u64>,
    /// All of them, not only those that change.
    pub(crate) client_flags: Option<ClientFlags>,
    /// The one that the device was connected with, if it was.
    pub(crate) identifier: Option<&'a str>,
    /// New connections, each in place of a dead one.
    pub(crate) sockets: &'a [BorrowedFd<'a>],
}

impl Connect<'_> {
    pub(super) fn request(&self) -> Result<Request, Failure> {
        let &Self { size, block_size, timeout, dead_timeout, client_flags, identifier, sockets, .. } = self;
        let change = Reconfigure {
            size: Some(size),
            block_size: Some(block_size),
            timeout,
            dead_timeout,
            client_flags: Some(client_flags),
            identifier,
            sockets,
        };
        let mut attributes = change.attributes(self.index)?;
        attributes.push(u64(attribute::SERVER_FLAGS, self.server_flags));
        Ok(Request { command: command::CONNECT, attributes })
    }
}

impl Reconfigure<'_> {
    pub(super) fn request(&self, index: u32) -> Result<Request, Failure> {
        Ok(Request { command: command::RECONFIGURE, attributes: self.attributes(Some(index))? })
    }

    fn attributes(&self, index: Option<u32>) -> Result<Vec<DefaultNla>, Failure> {
        let numbers = [
            (attribute::SIZE_BYTES, self.size),
            (attribute::BLOCK_SIZE_BYTES, self.block_size),
            (attribute::TIMEOUT, self.timeout),
            (attribute::DEAD_CONN_TIMEOUT, self.dead_timeout),
            (attribute::CLIENT_FLAGS, self.client_flags.map(|flags| flags.bits())),
        ];
        let mut attributes: Vec<_> = index.map(|index| u32(attribute::INDEX, index)).into_iter().collect();
        attributes.extend(numbers.into_iter().filter_map(|(number, value)| Some(u64(number, value?))));
        attributes.extend(self.identifier.map(identifier).transpose()?);
        // An empty list is an error of its own to the kernel, and not the one of a missing list.
        if !self.sockets.is_empty() {
            attributes.push(socket_list(self.sockets)?);
        }
        Ok(attributes)
    }
}

fn identifier(identifier: &str) -> Result<DefaultNla, Failure> {
    if identifier.len() > MAX_IDENTIFIER {
        return Err(Failure::Unsendable("a backend identifier may have at most 4000 bytes"));
    }
    if identifier.contains('\0') {
        return Err(Failure::Unsendable("a backend identifier cannot have a NUL in it"));
    }
    Ok(string(attribute::BACKEND_IDENTIFIER, identifier))
}

fn socket_list(sockets: &[BorrowedFd<'_>]) -> Result<DefaultNla, Failure> {
    if sockets.len() > MAX_SOCKETS {
        return Err(Failure::Unsendable("a message has place for at most 5460 sockets"));
    }
    let items: Vec<_> = sockets.iter().copied().map(item).collect();
    Ok(nested(attribute::SOCKETS, &items))
}

fn item(socket: BorrowedFd<'_>) -> DefaultNla {
    // A descriptor that is borrowed is open, and so not negative.
    nested(socket::ITEM, &[u32(socket::FD, socket.as_raw_fd().unsigned_abs())])
}
