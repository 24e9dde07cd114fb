//! All that the recorded kernel keeps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;

use super::disk::{Disk, FIRST};
use super::faults::Faults;
use super::news::Unread;
use super::node::Node;
use super::settings::BEGAN;
use crate::system::{Process, Traffic};

/// Datagrams, made of the number of a request.
pub(crate) type Answer = fn(u32) -> Vec<Vec<u8>>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) record: Vec<(String, ThreadId)>,
    pub(super) faults: Faults,
    pub(super) nodes: Vec<Node>,
    pub(super) disks: BTreeMap<u32, Disk>,
    pub(super) members: Vec<Arc<Unread>>,
    pub(super) pauses: Vec<Duration>,
    /// A device was begun by ioctl, so that a thread of its own has something to do.
    pub(super) threads: bool,
    /// The signals that were blocked in the thread that ran a device.
    pub(super) blocked: Option<u64>,
    /// What `NBD_DO_IT` comes to.
    pub(super) result: Result<(), Errno>,
    /// Servers hang up when they are told that it is over.
    pub(super) polite: bool,
    pub(super) family: bool,
    pub(super) group: bool,
    /// Datagrams in the place of the answer to a request.
    pub(super) odd: Option<(&'static str, Answer)>,
    /// A device ends when this attribute of it is looked for.
    pub(super) ends_before: Option<(&'static str, u32)>,
    pub(super) holders: Vec<String>,
    /// By each of their tasks.
    pub(super) processes: BTreeMap<u32, Process>,
    /// The signal that ends owners.
    pub(super) mortal: Option<Signal>,
    /// What is seen of any device, one after the other.
    pub(super) traffic: VecDeque<Traffic>,
    pub(super) largest_block: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            record: Vec::new(),
            faults: Faults::default(),
            nodes: Vec::new(),
            disks: (FIRST..FIRST + 3).map(|device| (device, Disk::default())).collect(),
            members: Vec::new(),
            pauses: Vec::new(),
            threads: false,
            blocked: None,
            result: Ok(()),
            polite: true,
            family: true,
            group: true,
            odd: None,
            ends_before: None,
            holders: Vec::new(),
            processes: BTreeMap::from([(std::process::id(), this_process())]),
            mortal: None,
            traffic: VecDeque::new(),
            largest_block: 4096,
        }
    }
}

impl State {
    /// Keeps a call, behind the closing of nodes that came before it.
    pub(super) fn keep(&mut self, call: String) {
        self.sweep();
        self.record.push((call, thread::current().id()));
    }

    /// Sees which nodes have been closed, and what comes of that.
    pub(super) fn sweep(&mut self) {
        let (closed, open): (Vec<_>, Vec<_>) = self.nodes.drain(..).partition(Node::is_closed);
        self.nodes = open;
        for node in closed {
            self.record.push((format!("close {}", node.device), thread::current().id()));
            let disk = self.disks.get_mut(&node.device).unwrap();
            if disk.pid.is_none() {
                disk.over = true;
            }
        }
        for (device, disk) in &mut self.disks {
            if disk.over && !disk.held && !self.nodes.iter().any(|node| node.device == *device) {
                disk.forget();
            }
        }
    }

    pub(super) fn disk(&mut self, device: u32) -> &mut Disk {
        self.disks.get_mut(&device).unwrap()
    }

    /// Whether CONNECT would be refused.
    pub(super) fn is_busy(&mut self, device: u32) -> bool {
        self.sweep();
        let open = self.nodes.iter().any(|node| node.device == device);
        self.disks.get(&device).is_some_and(|disk| open || disk.held || disk.pid.is_some())
    }
}

/// The one that the tests run in, which attaches what is attached by the library.
fn this_process() -> Process {
    Process { pid: std::process::id(), name: "test".to_owned(), began: BEGAN }
}
