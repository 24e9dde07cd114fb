//! What can go wrong between an export and its device.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::connection::NotForKernel;
use crate::device_id::DeviceId;
use crate::export::Mismatch;
use crate::geometry::BadGeometry;

/// Why an operation failed. The message is one line: which device, which step, what the system says, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server could not be connected to.
    #[error(transparent)]
    Connect(#[from] nbd_driver_std::Error),
    /// The kernel cannot speak on this connection.
    #[error(transparent)]
    NotForKernel(#[from] NotForKernel),
    /// The export's shape fits no device, or not the one that was wanted.
    #[error(transparent)]
    Geometry(#[from] BadGeometry),
    /// Not all connections lead to the same export.
    #[error("the server does not show the same export on each connection: {0}")]
    Mismatch(#[from] Mismatch),
    /// There is nothing to attach.
    #[error("no connection was given")]
    NoConnection,
    /// Several connections to a server that does not promise that they see each other's writes.
    #[error(
        "{0} connections were wanted, and the server does not advertise that it can serve several (CAN_MULTI_CONN)"
    )]
    NoMultiConn(usize),
    /// A setting has a value that the kernel cannot take.
    #[error("{0}")]
    Setting(String),
    /// Something that only the netlink interface can do.
    #[error("{0} needs the netlink interface")]
    NeedsNetlink(&'static str),
    /// The device is another's.
    #[error("{device} is attached already{by}")]
    AlreadyAttached {
        /// Which device.
        device: DeviceId,
        /// By whom, if that can be seen: ` by …`.
        by: String,
    },
    /// There is no device to be detached, or it has been detached meanwhile.
    #[error("{0} is not attached")]
    NotAttached(DeviceId),
    /// The device ended before it could be used.
    #[error("{0}: the server hung up, or broke the protocol, before the device could be used")]
    EndedEarly(DeviceId),
    /// Every connection is alive, so that there is none to be replaced.
    #[error("{0}: no connection is dead, so none can be replaced")]
    NoneDead(DeviceId),
    /// Whoever was to make a new connection panicked.
    #[error("the function that makes new connections panicked")]
    ConnectPanicked,
    /// Requests are in flight and the server does not answer: to end the device now would fail them.
    #[error("{0}: its server does not answer, and requests wait for it: only by force can it be detached")]
    ServerSilent(DeviceId),
    /// Somebody would lose the disk under his feet.
    #[error("{device} is in use: {holders}")]
    InUse {
        /// Which device.
        device: DeviceId,
        /// Who holds it.
        holders: String,
    },
    /// Every device is attached or held open.
    #[error("no device is free: all {0} are attached or held open; more of them: modprobe nbd nbds_max=N")]
    NoFreeDevice(usize),
    /// A call failed.
    #[error("{}{step}: {source}{}", OfDevice(*.device), Advice(.advice.as_deref()))]
    Step {
        /// Which call, or what was looked at.
        step: Step,
        /// On which device, if one is concerned.
        device: Option<DeviceId>,
        /// What the system says.
        source: io::Error,
        /// What to do about it, where that is known.
        advice: Option<String>,
    },
    /// What was waited for did not come.
    #[error("{device}: {what} did not come within {} seconds", .after.as_secs())]
    TimedOut {
        /// Which device.
        device: DeviceId,
        /// What.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
}

/// Where in the life of a device a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Opening `/dev/nbdN`.
    OpenNode,
    /// `NBD_SET_SOCK`
    SetSock,
    /// `NBD_SET_BLKSIZE`
    SetBlkSize,
    /// `NBD_SET_SIZE_BLOCKS`
    SetSizeBlocks,
    /// `NBD_SET_SIZE`
    SetSize,
    /// `NBD_SET_TIMEOUT`
    SetTimeout,
    /// `NBD_SET_FLAGS`
    SetFlags,
    /// `BLKROSET`
    SetReadOnly,
    /// `NBD_DO_IT`
    DoIt,
    /// `NBD_DISCONNECT`
    Disconnect,
    /// `NBD_CLEAR_QUE`
    ClearQue,
    /// `NBD_CLEAR_SOCK`
    ClearSock,
    /// Opening a netlink socket, or finding the family.
    OpenNetlink,
    /// `NBD_CMD_CONNECT`
    NetlinkConnect,
    /// `NBD_CMD_RECONFIGURE`
    NetlinkReconfigure,
    /// `NBD_CMD_DISCONNECT`
    NetlinkDisconnect,
    /// `NBD_CMD_STATUS`
    NetlinkStatus,
    /// Listening to the multicast group.
    NetlinkEvents,
    /// Reading or writing below `/sys`.
    Sysfs(&'static str),
    /// Starting a thread.
    Thread,
    /// Making an event descriptor.
    Eventfd,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenNode => "opening the device",
            Self::SetSock => "NBD_SET_SOCK",
            Self::SetBlkSize => "NBD_SET_BLKSIZE",
            Self::SetSizeBlocks => "NBD_SET_SIZE_BLOCKS",
            Self::SetSize => "NBD_SET_SIZE",
            Self::SetTimeout => "NBD_SET_TIMEOUT",
            Self::SetFlags => "NBD_SET_FLAGS",
            Self::SetReadOnly => "BLKROSET",
            Self::DoIt => "NBD_DO_IT",
            Self::Disconnect => "NBD_DISCONNECT",
            Self::ClearQue => "NBD_CLEAR_QUE",
            Self::ClearSock => "NBD_CLEAR_SOCK",
            Self::OpenNetlink => "looking for the kernel's NBD netlink family",
            Self::NetlinkConnect => "NBD_CMD_CONNECT",
            Self::NetlinkReconfigure => "NBD_CMD_RECONFIGURE",
            Self::NetlinkDisconnect => "NBD_CMD_DISCONNECT",
            Self::NetlinkStatus => "NBD_CMD_STATUS",
            Self::NetlinkEvents => "listening for lost connections",
            Self::Sysfs(name) => return write!(f, "the device's attribute {name}"),
            Self::Thread => "starting a thread",
            Self::Eventfd => "making an event descriptor",
        })
    }
}

struct OfDevice(Option<DeviceId>);

impl fmt::Display for OfDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |device| write!(f, "{device}: "))
    }
}

struct Advice<'a>(Option<&'a str>);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}
