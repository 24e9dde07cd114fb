//! All that this crate asks of the kernel goes through here, so that tests can put a recorder in its place.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::device_id::DeviceId;
use crate::netlink::{Event, Failure, Group, Wire};

/// A call on an open device node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'a> {
    /// `NBD_SET_SOCK`
    SetSock(BorrowedFd<'a>),
    /// `NBD_SET_BLKSIZE`, in bytes
    SetBlkSize(u32),
    /// `NBD_SET_SIZE_BLOCKS`
    SetSizeBlocks(u64),
    /// `NBD_SET_SIZE`, in bytes
    SetSize(u64),
    /// `NBD_SET_TIMEOUT`, in seconds, 0 for none
    SetTimeout(u64),
    /// `NBD_SET_FLAGS`
    SetFlags(u16),
    /// `NBD_DO_IT`: blocks until the device ends
    DoIt,
    /// `NBD_CLEAR_QUE`
    ClearQue,
    /// `NBD_CLEAR_SOCK`
    ClearSock,
    /// `NBD_DISCONNECT`
    Disconnect,
    /// `BLKROSET` with 1
    SetReadOnly,
}

/// What the kernel tells unasked.
pub(crate) trait Notices: AsFd + Send + fmt::Debug {
    /// The next one, or `None` if there is none now; the descriptor is readable when there may be one.
    fn next(&mut self) -> Result<Option<Event>, Failure>;
}

/// A process that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Escaped.
    pub(crate) name: String,
    /// When it began, in ticks since the machine did: tells it from one that had the same number before.
    pub(crate) began: u64,
}

/// What a device is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) in_flight: u64,
    pub(crate) finished: u64,
}

/// The kernel.
pub(crate) trait System: Send + Sync + fmt::Debug {
    /// Opens `/dev/nbdN`.
    fn open_node(&self, device: DeviceId) -> io::Result<OwnedFd>;
    /// The node as a process has it open. Opening it anew may hang behind others who do so.
    fn borrow_node(&self, pid: u32, device: DeviceId) -> io::Result<OwnedFd>;
    /// Does a call on it.
    fn ioctl(&self, node: BorrowedFd<'_>, call: Call<'_>) -> io::Result<()>;
    /// A netlink socket.
    fn netlink(&self) -> io::Result<Box<dyn Wire>>;
    /// Joins the group that is told of dead connections.
    fn notices(&self, group: Group) -> io::Result<Box<dyn Notices>>;
    /// The devices there are, in order. Empty without the module.
    fn devices(&self) -> io::Result<Vec<DeviceId>>;
    /// What `/sys/block/nbdN/NAME` says, without the line's end; `None` if there is no such file.
    fn attribute(&self, device: DeviceId, name: &'static str) -> io::Result<Option<String>>;
    /// Writes to it.
    fn set_attribute(&self, device: DeviceId, name: &'static str, value: &str) -> io::Result<()>;
    /// How many queues, one for each connection in use, the device has.
    fn queues(&self, device: DeviceId) -> usize;
    /// Requests in flight, and requests finished since the device was made; `None` if it does not say.
    fn traffic(&self, device: DeviceId) -> Option<Traffic>;
    /// Where notes about devices are kept that the kernel does not keep.
    fn notes(&self) -> PathBuf;
    /// Asks a process to end, or makes it.
    fn signal(&self, pid: u32, signal: Signal);
    /// The largest block size in bytes that this kernel takes.
    fn largest_block(&self) -> u32;
    /// Who holds the device: open files, mounts, swap, other block devices; as words for people.
    fn holders(&self, device: DeviceId) -> Vec<String>;
    /// The process that a task belongs to, for the kernel names the thread that made a device; `None` if there is none
    /// any more.
    fn process(&self, task: u32) -> Option<Process>;
    /// Lets some time pass.
    fn pause(&self, time: Duration);
}
