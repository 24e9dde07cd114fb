//! What the kernel knows of a device.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::ThreadId;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{Shutdown, shutdown};

use super::node::is_hung_up;
use crate::attach::Interface;

/// The first device's number; not 0, which a forgotten number could be.
pub(crate) const FIRST: u32 = 5;

#[derive(Debug)]
pub(super) struct Disk {
    /// Which process runs it, as long as it is attached.
    pub(super) pid: Option<u32>,
    pub(super) interface: Interface,
    pub(super) identifier: Option<String>,
    pub(super) block_size: u64,
    pub(super) size: u64,
    /// The thread that began to set it up.
    pub(super) claimed: Option<ThreadId>,
    pub(super) sockets: Vec<Arc<OwnedFd>>,
    /// It was ended, and keeps its name only for those who have it open.
    pub(super) over: bool,
    /// Readable when it is over.
    pub(super) end: Arc<OwnedFd>,
    /// Somebody else has it open.
    pub(super) held: bool,
    /// Attributes that a test or the library has set.
    pub(super) set: BTreeMap<&'static str, String>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            pid: None,
            interface: Interface::Ioctl,
            identifier: None,
            block_size: 1024,
            size: 0,
            claimed: None,
            sockets: Vec::new(),
            over: false,
            end: Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()),
            held: false,
            set: BTreeMap::new(),
        }
    }
}

impl Disk {
    /// Ends it. Its name is free when nobody has it open.
    pub(super) fn finish(&mut self) {
        self.over = true;
        for socket in &self.sockets {
            // It may have been done already.
            let _ = shutdown(socket, Shutdown::Both);
        }
        rustix::io::write(&self.end, &1_u64.to_ne_bytes()).unwrap();
    }

    /// As the last one who had it open has closed it.
    pub(super) fn forget(&mut self) {
        let set = std::mem::take(&mut self.set);
        *self = Self { set, ..Self::default() };
    }

    pub(super) fn dead(&self) -> Option<usize> {
        self.sockets.iter().position(|socket| is_hung_up(socket))
    }

    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        if let Some(set) = self.set.get(name) {
            return Some(set.clone());
        }
        let attached = |text: String| self.pid.is_some().then_some(text);
        match name {
            "pid" => self.pid.map(|pid| pid.to_string()),
            "size" => Some((self.size / 512).to_string()),
            "backend" if self.interface == Interface::Netlink => attached(self.identifier.clone().unwrap_or_default()),
            "queue/max_sectors_kb" => Some("1280".to_owned()),
            "queue/write_zeroes_max_bytes" => Some("0".to_owned()),
            _ => None,
        }
    }
}
