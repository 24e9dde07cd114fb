//! Which thread does what: the kernel remembers it.

use std::thread;

use super::support::{by_ioctl, device};
use crate::recorded::{Kernel, Offer};

/// SIGKILL and SIGSTOP cannot be blocked, and the C library keeps two real-time signals for itself.
const NOT_BLOCKED: u64 = 1 << (9 - 1) | 1 << (19 - 1) | 1 << (32 - 1) | 1 << (33 - 1);

// K2
#[test]
fn all_sockets_are_set_by_one_thread_and_the_device_is_run_by_another() {
    let kernel = Kernel::new();
    let (ours, _servers): (Vec<_>, Vec<_>) = [(); 4].map(|()| Offer::default().shared().connect()).into_iter().unzip();
    let device = by_ioctl().attach_on(&kernel.system(), ours).unwrap();
    assert_eq!(kernel.threads_of("SET_SOCK"), [thread::current().id(); 4]);
    let runs = kernel.threads_of("DO_IT");
    assert_eq!(runs.len(), 1);
    assert_ne!(runs[0], thread::current().id());
    assert_eq!(device.id(), super::support::device(0));
    device.detach().unwrap();
}

// K3
#[test]
fn no_signal_reaches_the_thread_that_runs_the_device() {
    let kernel = Kernel::new();
    let (connection, _server) = Offer::default().connect();
    let device = by_ioctl().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap();
    assert_eq!(kernel.blocked().unwrap() | NOT_BLOCKED, u64::MAX);
    device.detach().unwrap();
}

// K3
#[test]
fn the_thread_that_runs_the_device_clears_it() {
    let kernel = Kernel::new();
    let (connection, server) = Offer::default().connect();
    let mut device = by_ioctl().device(device(0)).attach_on(&kernel.system(), vec![connection]).unwrap();
    drop(server);
    device.wait(None).unwrap();
    assert_eq!(kernel.threads_of("CLEAR_SOCK"), kernel.threads_of("DO_IT"));
}
