//! The command that stays in front.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use nbd_kernel::{DeviceId, Interface};
use rustix::process::{Pid, Signal, kill_process};

use super::run::{attaching, device, ended, line, nbd, staying, until_gone};
use crate::server::Served;
use crate::support::{Site, is_attached};

fn start(interface: Interface, uri: &str) -> (Child, DeviceId) {
    let mut command = attaching(interface, &["--foreground", uri]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let device = device(&line(child.stdout.as_mut().unwrap()));
    assert!(is_attached(device));
    assert_eq!(staying(), [Pid::from_child(&child)]);
    (child, device)
}

pub(crate) fn a_signal_ends_it_with_0(interface: Interface) {
    let site = Site::memory(1 << 20);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (child, device) = start(interface, &site.uri.to_string());
        kill_process(Pid::from_child(&child), signal).unwrap();
        let run = ended(child);
        assert_eq!(run.code, Some(0), "{signal:?}: {run:?}");
        assert!(!is_attached(device));
        until_gone(device);
    }
}

pub(crate) fn systemd_is_told_when_it_is_ready(interface: Interface) {
    let site = Site::memory(1 << 20);
    let systemd = UnixDatagram::bind("/tmp/notify").unwrap();
    let mut command = attaching(interface, &["--foreground", &site.uri.to_string(), "nbd5"]);
    let child = command.env("NOTIFY_SOCKET", "/tmp/notify").stdout(Stdio::piped()).spawn().unwrap();
    let told = || {
        let mut bytes = [0; 100];
        let length = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(told().trim_end(), "READY=1");
    assert!(is_attached(DeviceId(5)));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert_eq!(ended(child).code, Some(0));
}

pub(crate) fn it_fails_when_the_server_is_gone(interface: Interface) {
    let served = Served::new(1 << 20);
    let (child, device) = start(interface, &served.uri.to_string());
    served.kill();
    let run = ended(child);
    assert_eq!(run.code, Some(1), "{run:?}");
    let last = run.errors.lines().last().unwrap();
    assert_eq!(last, "nbd: /dev/nbd0: the server has gone, and the device is detached");
    assert!(!is_attached(device));
    until_gone(device);
}

pub(crate) fn it_ends_with_0_when_another_detaches_the_device(interface: Interface) {
    let site = Site::memory(1 << 20);
    let (child, device) = start(interface, &site.uri.to_string());
    nbd(&["detach", &device.to_string()]).ok();
    let run = ended(child);
    assert_eq!(run.code, Some(0), "{run:?}");
    until_gone(device);
}
