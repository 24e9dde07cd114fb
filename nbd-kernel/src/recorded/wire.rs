//! The kernel's end of a netlink socket.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::MutexGuard;

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use super::disk::{Disk, FIRST};
use super::kernel::Kernel;
use super::request::Request;
use super::state::State;
use crate::attach::Interface;
use crate::netlink::Wire;
use crate::netlink::tests::octets::{CONTROLLER, NEWFAMILY, PORT, answer, connected, devices, ended, family, listed};

pub(super) struct KernelEnd {
    kernel: Kernel,
    answers: VecDeque<Vec<u8>>,
}

impl KernelEnd {
    pub(super) fn new(kernel: &Kernel) -> Self {
        Self { kernel: kernel.clone(), answers: VecDeque::new() }
    }

    fn asked(&self, request: &Request) -> Vec<Vec<u8>> {
        let done = self.kernel.enter(request.name(), request.to_string());
        let done = done.and_then(|state| match state.odd {
            Some((name, odd)) if name == request.name() => Ok(odd(request.sequence)),
            _ => act(state, request).map(|mut answers| {
                answers.push(ended(request.sequence, 0));
                answers
            }),
        });
        self.kernel.tell_change();
        done.unwrap_or_else(|errno| vec![ended(request.sequence, -errno.raw_os_error())])
    }
}

impl Wire for KernelEnd {
    fn port(&self) -> u32 {
        PORT
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let answers = self.asked(&Request::decode(message, CONTROLLER));
        self.answers.extend(answers);
        Ok(())
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        *into = self.answers.pop_front().ok_or(io::ErrorKind::TimedOut)?;
        Ok(())
    }
}

impl fmt::Debug for KernelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelEnd").field("answers", &self.answers.len()).finish_non_exhaustive()
    }
}

/// Does it; what is said but for the acknowledgement.
fn act(mut state: MutexGuard<'_, State>, request: &Request) -> Result<Vec<Vec<u8>>, Errno> {
    match request.name() {
        "GETFAMILY" if !state.family => Err(Errno::NOENT),
        "GETFAMILY" => {
            let mut told = family();
            if !state.group {
                told.pop();
            }
            Ok(vec![answer(CONTROLLER, request.sequence, NEWFAMILY, &told)])
        }
        "CONNECT" => connect(&mut state, request).map(|index| vec![connected(request.sequence, index)]),
        "NL_DISCONNECT" => {
            state.disks.get_mut(&request.index.unwrap()).ok_or(Errno::INVAL)?.finish();
            state.sweep();
            Ok(Vec::new())
        }
        "RECONFIGURE" => reconfigure(&mut state, request).map(|()| Vec::new()),
        _ => {
            let known: Vec<_> = state.disks.keys().copied().collect();
            let states: Vec<_> = known.into_iter().map(|device| (device, u8::from(state.is_busy(device)))).collect();
            Ok(vec![listed(request.sequence, devices(&states))])
        }
    }
}

fn connect(state: &mut State, request: &Request) -> Result<u32, Errno> {
    let index = match request.index {
        Some(index) if state.is_busy(index) => return Err(Errno::BUSY),
        Some(index) => index,
        None => (FIRST..FIRST + 10).find(|device| !state.is_busy(*device)).unwrap(),
    };
    let several = u64::from(TransmissionFlags::CAN_MULTI_CONN.bits());
    let (Some(size), Some(block_size), Some(flags)) = (request.size, request.block_size, request.server_flags) else {
        return Err(Errno::INVAL);
    };
    if request.sockets.is_empty() || (request.sockets.len() > 1 && flags & several == 0) {
        return Err(Errno::INVAL);
    }
    let disk = state.disks.entry(index).or_default();
    *disk = Disk {
        pid: Some(std::process::id()),
        interface: Interface::Netlink,
        identifier: request.identifier.clone(),
        block_size,
        size,
        sockets: request.sockets.clone(),
        set: std::mem::take(&mut disk.set),
        ..Disk::default()
    };
    Ok(index)
}

fn reconfigure(state: &mut State, request: &Request) -> Result<(), Errno> {
    let disk = state.disk(request.index.unwrap());
    if disk.pid.is_none() || disk.over || disk.interface != Interface::Netlink || disk.identifier != request.identifier
    {
        return Err(Errno::INVAL);
    }
    for socket in &request.sockets {
        // Without a dead one it is dropped.
        if let Some(dead) = disk.dead() {
            disk.sockets[dead] = socket.clone();
        }
    }
    disk.size = request.size.unwrap_or(disk.size);
    Ok(())
}
