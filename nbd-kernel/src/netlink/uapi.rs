//! Names and numbers of `linux/nbd-netlink.h`, and those of `linux/netlink.h` that the libraries do not have.

pub(super) const FAMILY: &str = "nbd";
pub(super) const VERSION: u8 = 1;
pub(super) const GROUP: &str = "nbd_mc_group";

pub(super) mod command {
    pub(in crate::netlink) const CONNECT: u8 = 1;
    pub(in crate::netlink) const DISCONNECT: u8 = 2;
    pub(in crate::netlink) const RECONFIGURE: u8 = 3;
    /// Comes unasked, to the group.
    pub(in crate::netlink) const LINK_DEAD: u8 = 4;
    pub(in crate::netlink) const STATUS: u8 = 5;
}

pub(super) mod attribute {
    pub(in crate::netlink) const INDEX: u16 = 1;
    pub(in crate::netlink) const SIZE_BYTES: u16 = 2;
    pub(in crate::netlink) const BLOCK_SIZE_BYTES: u16 = 3;
    pub(in crate::netlink) const TIMEOUT: u16 = 4;
    pub(in crate::netlink) const SERVER_FLAGS: u16 = 5;
    pub(in crate::netlink) const CLIENT_FLAGS: u16 = 6;
    pub(in crate::netlink) const SOCKETS: u16 = 7;
    pub(in crate::netlink) const DEAD_CONN_TIMEOUT: u16 = 8;
    pub(in crate::netlink) const DEVICE_LIST: u16 = 9;
    pub(in crate::netlink) const BACKEND_IDENTIFIER: u16 = 10;
}

/// In `SOCKETS`.
pub(super) mod socket {
    pub(in crate::netlink) const ITEM: u16 = 1;
    /// In an item.
    pub(in crate::netlink) const FD: u16 = 1;
}

/// In `DEVICE_LIST`.
pub(super) mod device {
    pub(in crate::netlink) const ITEM: u16 = 1;
    /// In an item.
    pub(in crate::netlink) const INDEX: u16 = 1;
    /// In an item.
    pub(in crate::netlink) const CONNECTED: u16 = 2;
}

/// Behind an error number.
pub(super) mod extended {
    pub(in crate::netlink) const MESSAGE: u16 = 1;
    pub(in crate::netlink) const MISSING_TYPE: u16 = 5;
}

/// Lower numbers are those of control messages, and of no family.
pub(super) const LOWEST_FAMILY_ID: u16 = 16;
