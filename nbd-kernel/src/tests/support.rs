//! What the tests have in common.

use std::os::unix::net::UnixStream;

use nbd_testkit::must_end;
use rustix::io::Errno;

use crate::attach::{Attach, Interface};
use crate::device::Device;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::recorded::{FIRST, Kernel, Offer};

pub(super) fn by_ioctl() -> Attach {
    Attach::new().interface(Interface::Ioctl)
}

pub(super) fn by_netlink() -> Attach {
    Attach::new().interface(Interface::Netlink)
}

/// One of the recorded kernel's devices.
pub(super) fn device(number: u32) -> DeviceId {
    DeviceId(FIRST + number)
}

/// The first device, attached by netlink with so many connections.
pub(super) fn attached(kernel: &Kernel, connections: usize) -> (Device, Vec<UnixStream>) {
    attached_as(kernel, &by_netlink(), Offer::default().shared(), connections)
}

pub(super) fn attached_as(
    kernel: &Kernel,
    attach: &Attach,
    offer: Offer,
    connections: usize,
) -> (Device, Vec<UnixStream>) {
    let (ours, servers) = (0..connections).map(|_| offer.connect()).unzip();
    (attach.clone().device(device(0)).attach_on(&kernel.system(), ours).unwrap(), servers)
}

pub(super) fn errno_of(error: &Error) -> Option<Errno> {
    match error {
        Error::Step { source, .. } => Errno::from_io_error(source),
        _ => None,
    }
}

pub(super) fn step_of(error: &Error) -> Option<Step> {
    match error {
        Error::Step { step, .. } => Some(*step),
        _ => None,
    }
}

/// How many calls begin so.
pub(super) fn count(kernel: &Kernel, begins: &str) -> usize {
    kernel.calls().iter().filter(|call| call.starts_with(begins)).count()
}

pub(super) fn await_call(kernel: &Kernel, begins: &'static str, times: usize) {
    let kernel = kernel.clone();
    must_end(move || kernel.await_call(begins, times));
}
