//! Servers that die, hang, or lose a connection.

use std::net::Shutdown;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use nbd_driver_std::ConnectOptions;
use nbd_kernel::{Attach, Connection, Detach, Ended, Error, Interface, Status};
use nbd_testkit::pattern;

use crate::server::Served;
use crate::support::{Aligned, Site, open, open_direct, read_direct, until_stuck};

const SIZE: u64 = 8 << 20;
const EIO: Option<i32> = Some(5);

pub(crate) fn a_device_ends_when_its_server_is_gone(interface: Interface) {
    let served = Served::new(SIZE);
    let mut device = Attach::new().interface(interface).attach([served.connect()]).unwrap();
    let id = device.id();
    let file = open_direct(&device.path());
    served.kill();
    assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
    assert_eq!(read_direct(&file, 4096, 0).unwrap_err().raw_os_error(), EIO);
    drop(file);
    device.detach().unwrap();
    assert_eq!(Status::of(id).unwrap(), None);
}

/// The kernel looks only now and then: a time-out of one second takes about two.
pub(crate) fn requests_fail_when_the_server_hangs(interface: Interface) {
    let served = Served::new(SIZE);
    let attach = Attach::new().interface(interface).timeout(Some(Duration::from_secs(1)));
    let mut device = attach.attach([served.connect()]).unwrap();
    let file = open_direct(&device.path());
    served.hang();
    assert_eq!(read_direct(&file, 4096, 0).unwrap_err().raw_os_error(), EIO);
    assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
    drop(file);
    let id = device.id();
    device.detach().unwrap();
    assert_eq!(Status::of(id).unwrap(), None);
}

/// The kernel sits in the middle of a write that the server does not take, and waits for ever.
pub(crate) fn a_device_is_detached_though_its_server_takes_nothing(interface: Interface) {
    let served = Served::new(SIZE);
    let device = Attach::new().interface(interface).timeout(None).attach([served.connect()]).unwrap();
    let id = device.id();
    let file = open(&device.path());
    served.hang();
    let writer = thread::spawn(move || {
        file.write_all_at(&vec![7; SIZE as usize], 0)?;
        file.sync_all()
    });
    until_stuck(id);
    let refused = Detach::new().detach(id).unwrap_err();
    assert!(matches!(refused, Error::ServerSilent(_)), "{refused:?}");
    device.detach().unwrap();
    assert_eq!(writer.join().unwrap().unwrap_err().raw_os_error(), EIO);
    assert_eq!(Status::of(id).unwrap(), None);
}

pub(crate) fn one_of_two_connections_may_die(interface: Interface) {
    let site = Site::memory(SIZE);
    let connected =
        ConnectOptions::new().structured_replies(false).extended_headers(false).negotiate_uri(&site.uri).unwrap();
    let cut = UnixStream::from(connected.socket.try_clone().unwrap());
    let first = Connection::new(connected.negotiated, connected.socket, &connected.unread).unwrap();
    let attach = Attach::new().interface(interface).timeout(Some(Duration::from_secs(2)));
    let device = attach.attach([first, site.connect()]).unwrap();
    assert_eq!(Status::of(device.id()).unwrap().unwrap().connections, 2);
    let file = open_direct(&device.path());
    let contents = pattern(1 << 20, 5);
    for (number, piece) in contents.chunks(65_536).enumerate() {
        if number == 3 {
            cut.shutdown(Shutdown::Both).unwrap();
        }
        file.write_all_at(Aligned::of(piece).bytes(), (number * 65_536) as u64).unwrap();
    }
    assert!(read_direct(&file, contents.len(), 0).unwrap() == contents);
}
