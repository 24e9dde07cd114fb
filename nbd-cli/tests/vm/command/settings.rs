//! What can be asked for.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use nbd_kernel::Interface;

use super::run::{attach, attaching, device, ended, line, nbd, try_attach};
use crate::server::Served;
use crate::support::{Site, open, open_direct, read_direct, shown};

pub(crate) fn a_device_can_be_read_only_though_the_export_is_not(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = attach(interface, &["--read-only", &site.uri.to_string()]);
    assert_eq!(shown(device, "ro"), "1");
    let refused = open(&device.path()).write_at(&[1; 512], 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert!(nbd(&["status", &device.to_string()]).ok().contains("\nread_only: yes\n"));
}

pub(crate) fn the_block_size_can_be_chosen(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = attach(interface, &["--block-size=4k", &site.uri.to_string()]);
    assert_eq!(shown(device, "queue/logical_block_size"), "4096");
    assert_eq!(shown(device, "queue/physical_block_size"), "4096");
}

pub(crate) fn several_connections_are_made(interface: Interface) {
    let site = Site::memory(1 << 20);
    let device = attach(interface, &["--connections=2", &site.uri.to_string()]);
    assert!(nbd(&["status", &device.to_string()]).ok().contains("\nconnections: 2\n"));
    assert_eq!(read_direct(&open_direct(&device.path()), 4096, 0).unwrap(), [0; 4096]);
}

pub(crate) fn what_cannot_be_reached_is_told(interface: Interface) {
    let site = Site::memory((1 << 20) + 1000);
    let run = try_attach(interface, &[&site.uri.to_string()]);
    assert_eq!(run.code, Some(0));
    let told = "nbd: /dev/nbd0: the last 488 bytes of the export do not fill a block of 512, and cannot be reached\n";
    assert_eq!(run.errors, told);
    assert_eq!(shown(device(&run.text), "size"), ((1 << 11) + 1).to_string());
}

pub(crate) fn it_can_wait_for_the_server(interface: Interface) {
    let served = Served::new(1 << 20);
    let uri = served.uri.to_string();
    served.kill();
    let mut child =
        attaching(interface, &["--wait", &uri]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let told = line(child.stderr.as_mut().unwrap());
    assert!(told.ends_with("trying again until it works\n"), "{told}");
    let _served = Served::start();
    let device = device(&ended(child).ok());
    assert_eq!(read_direct(&open_direct(&device.path()), 4096, 0).unwrap(), [0; 4096]);
}
