//! How a test has the kernel be, and what it has happen.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::process::Signal;

use super::disk::FIRST;
use super::kernel::Kernel;
use super::state::Answer;
use crate::attach::Interface;
use crate::netlink::Event;
use crate::system::{Process, Traffic};

/// When the processes of the tests began.
pub(crate) const BEGAN: u64 = 4711;

impl Kernel {
    /// Without the netlink family.
    pub(crate) fn without_netlink() -> Self {
        let kernel = Self::new();
        kernel.state().family = false;
        kernel
    }

    /// Without the module: no devices, no family.
    pub(crate) fn without_module() -> Self {
        let kernel = Self::without_netlink();
        kernel.state().disks.clear();
        kernel
    }

    /// A call fails from now on.
    pub(crate) fn fail(&self, call: &'static str, errno: Errno) {
        self.fail_times(call, errno, 0, usize::MAX);
    }

    /// A call fails so many times, after it has gone well so many times.
    pub(crate) fn fail_times(&self, call: &'static str, errno: Errno, spared: usize, times: usize) {
        self.state().faults.add(call, errno, spared, times);
    }

    /// A call comes back only after [`release`](Self::release).
    pub(crate) fn hang(&self, call: &'static str) {
        self.state().faults.hang(call);
    }

    /// Time does not go on before [`release`](Self::release).
    pub(crate) fn hang_pauses(&self) {
        self.hang("pause");
    }

    /// What hangs goes on.
    pub(crate) fn release(&self) {
        self.state().faults.release();
        self.tell_change();
    }

    /// `NBD_DO_IT` comes to this in the end.
    pub(crate) fn end_with(&self, result: Result<(), Errno>) {
        self.state().result = result;
    }

    /// Servers do not hang up when they are told that it is over.
    pub(crate) fn have_rude_servers(&self) {
        self.state().polite = false;
    }

    /// There is no multicast group.
    pub(crate) fn have_no_group(&self) {
        self.state().group = false;
    }

    /// The answer to a request is made by this of its number.
    pub(crate) fn answer(&self, request: &'static str, with: Answer) {
        self.state().odd = Some((request, with));
    }

    /// What `/sys` shows.
    pub(crate) fn set(&self, device: u32, name: &'static str, value: &str) {
        self.state().disk(device).set.insert(name, value.to_owned());
    }

    pub(crate) fn set_largest_block(&self, bytes: u32) {
        self.state().largest_block = bytes;
    }

    /// Who holds devices open.
    pub(crate) fn set_holders(&self, holders: &[&str]) {
        self.state().holders = holders.iter().map(|&who| who.to_owned()).collect();
    }

    /// A process lives since [`BEGAN`], and this is one of its tasks.
    pub(crate) fn set_process(&self, task: u32, pid: u32, name: &str) {
        self.state().processes.insert(task, Process { pid, name: name.to_owned(), began: BEGAN });
    }

    /// The process of this number began then.
    pub(crate) fn set_process_since(&self, pid: u32, began: u64) {
        self.state().processes.get_mut(&pid).unwrap().began = began;
    }

    /// The owner of a device has left a note about it.
    pub(crate) fn note(&self, device: u32, task: u32) {
        let dir = self.notes_dir();
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("nbd{}", FIRST + device)), format!("{task}\n{BEGAN}\n1700000000\nhere\n")).unwrap();
    }

    /// Owners end by this signal, and by no other.
    pub(crate) fn set_mortal(&self, signal: Signal) {
        self.state().mortal = Some(signal);
    }

    /// What is seen of the requests in flight and of those that are finished, one after the other; the last one stays.
    pub(crate) fn set_traffic(&self, seen: &[(u64, u64)]) {
        self.state().traffic = seen.iter().map(|&(in_flight, finished)| Traffic { in_flight, finished }).collect();
    }

    /// Somebody has it open, or not any more.
    pub(crate) fn hold_open(&self, device: u32, held: bool) {
        self.state().disk(device).held = held;
    }

    /// Another process has attached it.
    pub(crate) fn attach_foreign(&self, device: u32, interface: Interface, pid: u32) {
        let mut state = self.state();
        let disk = state.disks.entry(device).or_default();
        disk.pid = Some(pid);
        disk.interface = interface;
    }

    /// Another process detaches it.
    pub(crate) fn detach_foreign(&self, device: u32) {
        self.state().disk(device).finish();
        self.tell_change();
    }

    /// The connection of this number dies, as the kernel tells it.
    pub(crate) fn kill_link(&self, device: u32, number: usize) {
        let socket = Arc::clone(&self.state().disk(device).sockets[number]);
        shutdown(&*socket, Shutdown::Both).unwrap();
        self.tell(Event::LinkDead(device));
    }

    /// The device ends when this attribute is looked for, just before it is read.
    pub(crate) fn end_before_reading(&self, name: &'static str, device: u32) {
        self.state().ends_before = Some((name, device));
    }

    /// Waits until somebody lets time pass.
    pub(crate) fn await_pause(&self) {
        let mut state = self.state();
        while state.pauses.is_empty() {
            state = self.wait(state);
        }
    }

    /// Waits until all news have been taken.
    pub(crate) fn await_heard(&self) {
        let mut state = self.state();
        while state.members.iter().any(|member| member.is_left()) {
            state = self.wait(state);
        }
    }

    /// News for the group.
    pub(crate) fn tell(&self, event: Event) {
        self.state().members.iter().for_each(|member| member.tell(Ok(event)));
    }

    /// The group's sockets fail.
    pub(crate) fn tell_failure(&self, errno: Errno) {
        self.state().members.iter().for_each(|member| member.tell(Err(errno)));
    }

    /// The kernel's sockets of a device.
    pub(crate) fn sockets(&self, device: u32) -> Vec<Arc<OwnedFd>> {
        self.state().disk(device).sockets.clone()
    }

    /// The device's size in bytes as the kernel knows it.
    pub(crate) fn size(&self, device: u32) -> u64 {
        self.state().disk(device).size
    }

    pub(crate) fn is_attached(&self, device: u32) -> bool {
        let mut state = self.state();
        state.sweep();
        state.disk(device).pid.is_some()
    }

    /// The thread that `NBD_DO_IT` came from had these signals blocked, one bit each.
    pub(crate) fn blocked(&self) -> Option<u64> {
        self.state().blocked
    }

    /// All pauses that were made.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.state().pauses.clone()
    }

    /// Waits until a call like this has been made, and returns the thread.
    pub(crate) fn await_call(&self, begins: &str, times: usize) -> Vec<ThreadId> {
        let mut state = self.state();
        loop {
            state.sweep();
            let found = state.record.iter().filter(|(call, _)| call.starts_with(begins));
            let found: Vec<_> = found.map(|(_, thread)| *thread).collect();
            if found.len() >= times {
                return found;
            }
            state = self.wait(state);
        }
    }
}
