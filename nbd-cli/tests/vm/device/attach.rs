//! What the kernel shows of a device.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::backend::{Memory, ReadOnly};
use nbd_driver_std::nbd_proto::uri::NbdUri;
use nbd_kernel::{Attach, Connection, DeviceId, Interface, Status};
use nbd_testkit::Nbdkit;

use crate::support::{Site, attribute, open, open_direct, read_direct};

pub(crate) fn a_device_has_the_exports_shape(interface: Interface) {
    let site = Site::memory(3 << 20);
    let device = site.attach(interface, 1);
    assert_eq!(attribute(&device, "size"), (3 << 11).to_string());
    assert_eq!(attribute(&device, "queue/logical_block_size"), "512");
    assert_eq!(attribute(&device, "queue/write_cache"), "write back");
    assert_eq!(attribute(&device, "queue/fua"), "1");
    assert_ne!(attribute(&device, "queue/discard_max_bytes"), "0");
    assert_eq!(attribute(&device, "ro"), "0");
    assert_eq!(device.geometry().unreachable, 0);
}

pub(crate) fn the_first_free_device_is_taken(interface: Interface) {
    let site = Site::memory(1 << 20);
    let devices: Vec<_> = (0..3).map(|_| site.attach(interface, 1)).collect();
    assert_eq!(devices.iter().map(|device| device.id().0).collect::<Vec<_>>(), [0, 1, 2]);
}

pub(crate) fn a_device_can_be_chosen_and_reports_who_has_it(interface: Interface) {
    let site = Site::memory(1 << 20);
    let id = DeviceId(7);
    let attach = Attach::new().interface(interface).device(id).origin("nbd://here\n");
    let device = attach.attach([site.connect()]).unwrap();
    assert_eq!(device.id(), id);
    let status = Status::of(id).unwrap().unwrap();
    assert_eq!((status.size, status.interface, status.pid), (1 << 20, interface, std::process::id()));
    assert_eq!(status.process.as_deref(), Some("vm-tests"));
    assert_eq!(status.origin.as_deref(), Some("nbd://here\\n"));
    assert!(status.since.unwrap().elapsed().is_ok());
    assert_eq!(status.queue.logical_block_size, 512);
    assert_eq!(Status::all().unwrap(), [status]);
}

pub(crate) fn a_read_only_export_refuses_writes(interface: Interface) {
    let site = Site::new(ReadOnly::new(Memory::new(1 << 20)));
    assert_read_only(&site.attach(interface, 1));
}

pub(crate) fn a_device_can_be_read_only_though_the_export_is_not(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = Attach::new().interface(interface).read_only(true).attach([site.connect()]).unwrap();
    assert_read_only(&device);
}

fn assert_read_only(device: &nbd_kernel::Device) {
    assert_eq!(attribute(device, "ro"), "1");
    let refused = open(&device.path()).write_at(&[1; 512], 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert!(Status::of(device.id()).unwrap().unwrap().read_only);
}

/// A server that takes 64 KiB, and refuses what is longer.
pub(crate) fn requests_are_no_longer_than_the_server_takes(interface: Interface) {
    let server = Nbdkit::memory("8M")
        .filter("blocksize-policy")
        .arg("blocksize-minimum=1")
        .arg("blocksize-preferred=4096")
        .arg("blocksize-maximum=65536")
        .arg("blocksize-error-policy=error")
        .start()
        .unwrap();
    let uri = NbdUri::parse(&server.uri()).unwrap();
    let connection = Connection::open(&uri, &ConnectOptions::new()).unwrap();
    let device = Attach::new().interface(interface).attach([connection]).unwrap();
    assert_eq!(attribute(&device, "queue/max_sectors_kb"), "64");
    let bytes = read_direct(&open_direct(&device.path()), 4 << 20, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));

    // The next server is not to suffer for it.
    let id = device.id();
    device.detach().unwrap();
    let site = Site::memory(1 << 20);
    let device = Attach::new().interface(interface).device(id).attach([site.connect()]).unwrap();
    assert!(attribute(&device, "queue/max_sectors_kb").parse::<u32>().unwrap() > 64);
}

pub(crate) fn it_works_over_tcp(interface: Interface) {
    let server = Nbdkit::memory("1M").tcp().start().unwrap();
    let uri = NbdUri::parse(&server.uri()).unwrap();
    let connection = Connection::open(&uri, &ConnectOptions::new()).unwrap();
    let device = Attach::new().interface(interface).attach([connection]).unwrap();
    let file = open(&device.path());
    file.write_all_at(b"over TCP", 4096).unwrap();
    file.sync_all().unwrap();
    assert_eq!(&read_direct(&open_direct(&device.path()), 512, 4096).unwrap()[..8], b"over TCP");
}
