//! New connections for dead ones.

use std::io::{Seek as _, SeekFrom};
use std::thread;
use std::time::Duration;

use nbd_kernel::{Attach, Detach, Device, Ended, Error, Interface, Supervisor};

use crate::server::{Served, connect, set_size};
use crate::support::{attribute, open_direct, read_direct};
use crate::writer::Writer;

const SIZE: u64 = 8 << 20;

/// One whose requests wait for a new connection.
fn attach(served: &Served) -> Device {
    Attach::new()
        .interface(Interface::Netlink)
        .timeout(Some(Duration::from_secs(2)))
        .dead_timeout(Some(Duration::from_secs(100)))
        .attach([served.connect()])
        .unwrap()
}

pub(crate) fn a_connection_is_replaced_once_it_is_dead() {
    let served = Served::new(SIZE);
    let mut device = attach(&served);
    let refused = device.replace(served.connect(), false).unwrap_err();
    assert!(matches!(refused, Error::NoneDead(_)), "{refused:?}");
    served.kill();
    assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
    let path = device.path();
    let reader = thread::spawn(move || read_direct(&open_direct(&path), 4096, 0));
    let served = Served::start();
    device.replace(served.connect(), false).unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), [0; 4096]);
    let refused = device.replace(served.connect(), false).unwrap_err();
    assert!(matches!(refused, Error::NoneDead(_)), "{refused:?}");
}

pub(crate) fn a_dead_time_out_ends_in_errors() {
    let served = Served::new(SIZE);
    let attach = Attach::new().interface(Interface::Netlink).timeout(Some(Duration::from_secs(1)));
    let mut device = attach.dead_timeout(Some(Duration::from_secs(1))).attach([served.connect()]).unwrap();
    let file = open_direct(&device.path());
    served.kill();
    assert_eq!(read_direct(&file, 4096, 0).unwrap_err().raw_os_error(), Some(5));
    assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
}

/// Every write is answered, no answer is an error, and what was answered is there.
pub(crate) fn writes_survive_restarts_of_the_server() {
    let served = Served::new(SIZE);
    let uri = served.uri.clone();
    let mut supervisor = Supervisor::new(attach(&served), move || connect(&uri)).unwrap();
    let stopper = supervisor.stopper();
    let path = supervisor.device().path();
    let watching = thread::spawn(move || {
        let ended = supervisor.run();
        (ended, supervisor.into_device())
    });

    let writer = Writer::start(&path, 0..100);
    let mut served = served;
    for _ in 0..3 {
        // In the middle of something.
        writer.wait_for(20);
        served.kill();
        served = Served::start();
    }
    writer.wait_for(100);
    writer.finish(&path);
    stopper.stop();
    let (ended, device) = watching.join().unwrap();
    assert_eq!(ended, None);
    device.detach().unwrap();
    served.kill();
}

pub(crate) fn a_grown_export_is_followed_when_asked() {
    let served = Served::new(SIZE);
    let uri = served.uri.clone();
    let mut supervisor = Supervisor::new(attach(&served), move || connect(&uri)).unwrap().follow_size(true);
    let stopper = supervisor.stopper();
    let path = supervisor.device().path();
    let watching = thread::spawn(move || {
        supervisor.run();
        supervisor.into_device()
    });
    served.kill();
    set_size(2 * SIZE);
    let served = Served::start();
    assert_eq!(read_direct(&open_direct(&path), 4096, 0).unwrap(), [0; 4096], "it waits for the new connection");
    // The kernel is told of the size behind that.
    while open_direct(&path).seek(SeekFrom::End(0)).unwrap() < 2 * SIZE {
        thread::yield_now();
    }
    assert_eq!(read_direct(&open_direct(&path), 4096, 2 * SIZE - 4096).unwrap(), [0; 4096]);
    stopper.stop();
    let device = watching.join().unwrap();
    assert_eq!(attribute(&device, "size"), (2 * SIZE / 512).to_string());
    assert_eq!(device.export().size, 2 * SIZE);
    device.detach().unwrap();
    served.kill();
}

pub(crate) fn another_export_is_not_handed_over() {
    let served = Served::new(SIZE);
    let mut device = attach(&served);
    served.kill();
    assert_eq!(device.wait(None).unwrap(), Some(Ended::ServerGone));
    set_size(SIZE / 2);
    let served = Served::start();
    let refused = device.replace(served.connect(), false).unwrap_err();
    assert!(matches!(refused, Error::Mismatch(_)), "{refused:?}");
    served.kill();
    set_size(SIZE);
    let served = Served::start();
    device.replace(served.connect(), false).unwrap();
    assert_eq!(read_direct(&open_direct(&device.path()), 4096, 0).unwrap(), [0; 4096]);
}

pub(crate) fn the_backend_is_shown_and_needed() {
    let served = Served::new(SIZE);
    let attach = Attach::new().interface(Interface::Netlink).identifier("the one and only");
    let mut device = attach.attach([served.connect()]).unwrap();
    assert_eq!(attribute(&device, "backend"), "the one and only");
    // The kernel wants to hear it with each change, and does.
    device.resize(SIZE / 2).unwrap();
    assert_eq!(attribute(&device, "size"), (SIZE / 2 / 512).to_string());
}

pub(crate) fn the_end_of_a_supervised_device_is_seen() {
    let served = Served::new(SIZE);
    let device = attach(&served);
    let id = device.id();
    let uri = served.uri.clone();
    let mut supervisor = Supervisor::new(device, move || connect(&uri)).unwrap();
    let watching = thread::spawn(move || supervisor.run());
    Detach::new().detach(id).unwrap();
    assert_eq!(watching.join().unwrap(), Some(Ended::Detached));
}
