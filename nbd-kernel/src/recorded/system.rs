//! The recorded kernel in the place of the real one.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;

use super::disk::Disk;
use super::kernel::Kernel;
use super::news::{Member, Unread};
use super::node::Node;
use super::wire::KernelEnd;
use crate::device_id::DeviceId;
use crate::netlink::{Group, Wire};
use crate::system::{Call, Notices, Process, System, Traffic};

impl System for Kernel {
    fn open_node(&self, device: DeviceId) -> io::Result<OwnedFd> {
        let mut state = self.enter("open", format!("open {}", device.0))?;
        if !state.disks.contains_key(&device.0) {
            return Err(Errno::NOENT.into());
        }
        let (node, given) = Node::open(device.0);
        state.nodes.push(node);
        Ok(given)
    }

    fn borrow_node(&self, pid: u32, device: DeviceId) -> io::Result<OwnedFd> {
        let mut state = self.enter("borrow", format!("borrow {} of {pid}", device.0))?;
        let (node, given) = Node::open(device.0);
        state.nodes.push(node);
        Ok(given)
    }

    fn ioctl(&self, node: BorrowedFd<'_>, call: Call<'_>) -> io::Result<()> {
        self.ioctl_of(node, call)
    }

    fn netlink(&self) -> io::Result<Box<dyn Wire>> {
        self.state().faults.strike("netlink")?;
        Ok(Box::new(KernelEnd::new(self)))
    }

    fn notices(&self, _: Group) -> io::Result<Box<dyn Notices>> {
        let mut state = self.enter("join", "join".to_owned())?;
        let unread = Unread::new();
        state.members.push(unread.clone());
        Ok(Box::new(Member(unread)))
    }

    fn devices(&self) -> io::Result<Vec<DeviceId>> {
        let mut state = self.state();
        state.faults.strike("list")?;
        Ok(state.disks.keys().copied().map(DeviceId).collect())
    }

    fn attribute(&self, device: DeviceId, name: &'static str) -> io::Result<Option<String>> {
        let mut state = self.state();
        state.faults.strike(name)?;
        if state.ends_before == Some((name, device.0)) {
            state.disk(device.0).finish();
        }
        state.sweep();
        Ok(state.disks.get(&device.0).and_then(|disk| disk.attribute(name)))
    }

    fn set_attribute(&self, device: DeviceId, name: &'static str, value: &str) -> io::Result<()> {
        let mut state = self.enter("write", format!("write {name} {value}"))?;
        state.disk(device.0).set.insert(name, value.to_owned());
        Ok(())
    }

    fn queues(&self, device: DeviceId) -> usize {
        self.state().disk(device.0).sockets.len()
    }

    fn traffic(&self, _: DeviceId) -> Option<Traffic> {
        let mut state = self.state();
        // The last one stays.
        if state.traffic.len() > 1 { state.traffic.pop_front() } else { state.traffic.front().copied() }
    }

    fn notes(&self) -> PathBuf {
        self.notes_dir()
    }

    fn signal(&self, pid: u32, signal: Signal) {
        let mut state = self.state();
        state.keep(format!("signal {pid} {}", signal.as_raw()));
        if state.mortal == Some(signal) {
            state.disks.values_mut().filter(|disk| disk.pid == Some(pid)).for_each(Disk::finish);
        }
    }

    fn largest_block(&self) -> u32 {
        self.state().largest_block
    }

    fn holders(&self, _: DeviceId) -> Vec<String> {
        self.state().holders.clone()
    }

    fn process(&self, task: u32) -> Option<Process> {
        self.state().processes.get(&task).cloned()
    }

    fn pause(&self, time: Duration) {
        let mut state = self.state();
        state.pauses.push(time);
        while state.faults.hangs("pause") {
            state = self.wait(state);
        }
        if state.threads {
            drop(self.wait(state));
        }
    }
}
