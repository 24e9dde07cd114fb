//! Devices that do not want to end. Each test takes as long as the library is patient, a few seconds.

use std::io::Read as _;
use std::thread;

use nbd_testkit::must_end;
use rustix::net::{SendFlags, send};

use super::support::{attached, attached_as, by_ioctl, count};
use crate::error::Error;
use crate::recorded::{FIRST, Kernel, Offer};
use crate::socket;

#[test]
fn a_drop_ends_though_the_kernel_never_answers_by_netlink() {
    let kernel = Kernel::new();
    let (device, servers) = attached(&kernel, 1);
    kernel.hang("NL_DISCONNECT");
    must_end(move || drop(device));
    assert_eq!(count(&kernel, "NL_DISCONNECT"), 2);
    // Before the second try, what hung was given a chance to end.
    assert!(servers[0].peek_end());
    kernel.release();
}

#[test]
fn a_drop_ends_though_the_kernel_never_answers_by_ioctl() {
    let kernel = Kernel::new();
    let (device, _servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    for call in ["DISCONNECT", "CLEAR_SOCK", "the end of DO_IT"] {
        kernel.hang(call);
    }
    must_end(move || drop(device));
    kernel.release();
    kernel.await_call(&format!("close {FIRST}"), 1);
}

#[test]
fn a_detach_that_the_kernel_never_answers_says_so() {
    let kernel = Kernel::new();
    let (device, _servers) = attached(&kernel, 1);
    kernel.hang("NL_DISCONNECT");
    let error = must_end(move || device.detach().unwrap_err());
    assert!(matches!(error, Error::TimedOut { what: "the kernel's answer", .. }), "{error}");
    kernel.release();
}

#[test]
fn a_server_that_does_not_hang_up_is_left_without_its_leave() {
    let kernel = Kernel::new();
    kernel.have_rude_servers();
    let (device, servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    must_end(move || device.detach().unwrap());
    assert!(!kernel.is_attached(FIRST));
    assert!(servers[0].peek_end());
    assert_eq!(count(&kernel, "DISCONNECT"), 1);
}

#[test]
fn a_call_that_hangs_on_its_socket_ends_with_it() {
    let kernel = Kernel::new();
    let (device, mut servers) = attached_as(&kernel, &by_ioctl(), Offer::default(), 1);
    kernel.hang("DISCONNECT");
    kernel.hang("CLEAR_SOCK");
    let hung = kernel.clone();
    let server = thread::spawn(move || {
        // The server's end of it ends, too.
        assert_eq!(servers[0].read(&mut [0]).unwrap(), 0);
        hung.release();
    });
    assert_eq!(must_end(move || device.detach().unwrap()).still_held, [] as [&str; 0]);
    server.join().unwrap();
    assert!(!kernel.is_attached(FIRST));
}

#[test]
fn a_server_that_takes_nothing_is_hung_up_on_before_the_kernel_would_wait_for_it() {
    for deaf in [true, false] {
        let kernel = Kernel::new();
        let (device, _servers) = attached(&kernel, 1);
        let socket = kernel.sockets(FIRST).remove(0);
        while deaf && send(&*socket, &[0; 4096], SendFlags::DONTWAIT).is_ok() {}
        kernel.hang("NL_DISCONNECT");
        let detaching = thread::spawn(move || device.detach().unwrap());
        let called = kernel.clone();
        must_end(move || called.await_call("NL_DISCONNECT", 1));
        assert_eq!(socket::is_dead(&socket), deaf);
        kernel.release();
        must_end(move || detaching.join().unwrap());
    }
}

/// Whether the other end has been shut.
trait PeekEnd {
    fn peek_end(&self) -> bool;
}

impl PeekEnd for std::os::unix::net::UnixStream {
    fn peek_end(&self) -> bool {
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(self, &mut [0], flags), Ok((_, 0)))
    }
}
