//! What a netlink message asks for.
#![allow(unsafe_code, reason = "descriptors come as numbers in a message, as they come to the kernel")]

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use netlink_packet_core::{NetlinkBuffer, NlasIterator};

use super::name_of;

/// One request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) to_controller: bool,
    pub(super) command: u8,
    pub(super) sequence: u32,
    pub(super) index: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) block_size: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) server_flags: Option<u64>,
    pub(super) client_flags: Option<u64>,
    pub(super) sockets: Vec<Arc<OwnedFd>>,
    pub(super) dead_timeout: Option<u64>,
    pub(super) identifier: Option<String>,
}

impl Request {
    pub(super) fn decode(message: &[u8], controller: u16) -> Self {
        let buffer = NetlinkBuffer::new_checked(message).unwrap();
        let (header, attributes) = buffer.payload().split_at(4);
        let mut request = Self {
            to_controller: buffer.message_type() == controller,
            command: header[0],
            sequence: buffer.sequence_number(),
            ..Self::default()
        };
        if !request.to_controller {
            for attribute in NlasIterator::new(attributes) {
                let attribute = attribute.unwrap();
                request.take(attribute.kind(), attribute.value());
            }
        }
        request
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        let number = || Some(u64::from_ne_bytes(value.try_into().unwrap()));
        match kind {
            1 => self.index = Some(u32::from_ne_bytes(value.try_into().unwrap())),
            2 => self.size = number(),
            3 => self.block_size = number(),
            4 => self.timeout = number(),
            5 => self.server_flags = number(),
            6 => self.client_flags = number(),
            7 => self.sockets = sockets(value),
            8 => self.dead_timeout = number(),
            10 => self.identifier = Some(String::from_utf8(value.strip_suffix(&[0]).unwrap().to_vec()).unwrap()),
            kind => panic!("no request has an attribute {kind}"),
        }
    }

    /// The command's name.
    pub(super) fn name(&self) -> &'static str {
        match (self.to_controller, self.command) {
            (true, _) => "GETFAMILY",
            (_, 1) => "CONNECT",
            (_, 2) => "NL_DISCONNECT",
            (_, 3) => "RECONFIGURE",
            (_, 5) => "STATUS",
            (_, other) => panic!("there is no command {other}"),
        }
    }
}

impl fmt::Display for Request {
    /// The command, and what is given with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let numbers = [
            ("index", self.index.map(u64::from)),
            ("size", self.size),
            ("block", self.block_size),
            ("timeout", self.timeout),
            ("dead", self.dead_timeout),
            ("server", self.server_flags),
            ("client", self.client_flags),
        ];
        for (name, number) in numbers {
            number.map_or(Ok(()), |number| write!(f, " {name}={number}"))?;
        }
        self.identifier.as_ref().map_or(Ok(()), |text| write!(f, " identifier={text}"))?;
        if !self.sockets.is_empty() {
            let names: Vec<_> = self.sockets.iter().map(name_of).collect();
            write!(f, " sockets={names:?}")?;
        }
        Ok(())
    }
}

/// References to the sockets of a list, as the kernel takes them.
fn sockets(list: &[u8]) -> Vec<Arc<OwnedFd>> {
    let socket = |item: &[u8]| {
        let number = NlasIterator::new(item).next().unwrap().unwrap().value().try_into().unwrap();
        // SAFETY: the request borrows the descriptors that it names, and it is not over yet.
        let socket = unsafe { BorrowedFd::borrow_raw(i32::from_ne_bytes(number)) };
        Arc::new(socket.try_clone_to_owned().unwrap())
    };
    NlasIterator::new(list).map(|item| socket(item.unwrap().value())).collect()
}
