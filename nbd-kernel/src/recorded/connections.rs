//! Connections that are fit for the kernel, and their other ends.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use nbd_driver_std::ConnectOptions;
use nbd_proto::handshake::Negotiated;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::BlockSizes;
use nbd_testkit::{Script, oldstyle_greeting};

use crate::connection::Connection;

/// What a server offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) size: u64,
    pub(crate) flags: TransmissionFlags,
    pub(crate) blocks: Option<BlockSizes>,
}

impl Default for Offer {
    fn default() -> Self {
        Self { size: 1 << 20, flags: TransmissionFlags::HAS_FLAGS, blocks: None }
    }
}

impl Offer {
    pub(crate) fn of_size(size: u64) -> Self {
        Self { size, ..Self::default() }
    }

    /// With these flags beside the one that every server sets.
    pub(crate) fn flags(self, flags: TransmissionFlags) -> Self {
        Self { flags: flags | TransmissionFlags::HAS_FLAGS, ..self }
    }

    pub(crate) fn blocks(self, minimum: u32, maximum: u32) -> Self {
        Self { blocks: Some(BlockSizes { minimum, preferred: minimum.max(4096), maximum }), ..self }
    }

    /// For several connections.
    pub(crate) fn shared(self) -> Self {
        self.flags(self.flags | TransmissionFlags::CAN_MULTI_CONN)
    }

    /// A connection, and the server's end of it.
    pub(crate) fn connect(self) -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(self.negotiated(), ours, &[]).unwrap(), theirs)
    }

    pub(crate) fn negotiated(self) -> Negotiated {
        let mut negotiated = negotiated();
        negotiated.info.size = self.size;
        negotiated.info.flags = self.flags;
        negotiated.info.block_sizes = self.blocks;
        negotiated
    }
}

/// What a handshake ends in, simple in every respect.
pub(crate) fn negotiated() -> Negotiated {
    static AGREED: OnceLock<Negotiated> = OnceLock::new();
    let agree = || {
        let (socket, _server) = Script::new().send(oldstyle_greeting(1 << 20, 1)).hold().pair();
        ConnectOptions::new().negotiate_fd(socket, "").unwrap().negotiated
    };
    AGREED.get_or_init(agree).clone()
}

/// What tells a socket, or another file, from all others, whatever number it has.
pub(crate) fn name_of(file: impl AsFd) -> u64 {
    rustix::fs::fstat(file).unwrap().st_ino
}
