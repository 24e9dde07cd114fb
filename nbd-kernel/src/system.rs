//! All that this crate asks of the kernel goes through here, so that tests can put a recorder in its place.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

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

/// The kernel.
pub(crate) trait System: Send + Sync + fmt::Debug {
    /// Opens `/dev/nbdN`.
    fn open_node(&self, device: DeviceId) -> io::Result<OwnedFd>;
    /// The node as a process has it open, without opening it anew: that would look for partitions, and hang like every
    /// other read when the server does not answer.
    fn borrow_node(&self, _process: u32, device: DeviceId) -> io::Result<OwnedFd> {
        self.open_node(device)
    }
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
    /// The largest block size in bytes that this kernel takes.
    fn largest_block(&self) -> u32;
    /// Who holds the device: open files, mounts, swap, other block devices; as words for people.
    fn holders(&self, device: DeviceId) -> Vec<String>;
    /// The process that a thread belongs to; the number itself if there is no such thread any more.
    fn process_of(&self, thread: u32) -> u32 {
        thread
    }
    /// What a process is called; `None` if there is none any more.
    fn process_name(&self, pid: u32) -> Option<String>;
    /// Lets some time pass.
    fn pause(&self, time: Duration);
}
