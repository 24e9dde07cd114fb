//! Devices that outlive their connections.

use std::fs;
use std::thread;
use std::time::Duration;

use nbd_kernel::{DeviceId, Interface};

use super::run::{attach, nbd, stayer, staying, until_gone};
use crate::server::{Served, set_size};
use crate::support::{open_direct, read_direct, shown, until};
use crate::writer::Writer;

const SIZE: u64 = 8 << 20;

/// One whose requests wait for a new connection, and do not wait long for an answer.
const SOON: [&str; 2] = ["--timeout=2", "--dead-timeout=100"];

fn persist(served: &Served, options: &[&str]) -> DeviceId {
    attach(Interface::Netlink, &[&["--persist", "--log=/tmp/log"], options, &[&served.uri.to_string()]].concat())
}

fn log() -> String {
    fs::read_to_string("/tmp/log").unwrap()
}

pub(crate) fn writes_survive_restarts_of_the_server() {
    let mut served = Served::new(SIZE);
    let device = persist(&served, &SOON);
    let path = device.path();
    let writers = [0..100, 200..300].map(|part| Writer::start(&path, part));
    for _ in 0..3 {
        writers[0].wait_for(20);
        served.kill();
        served = Served::start();
    }
    for writer in &writers {
        writer.wait_for(20);
    }
    for writer in writers {
        writer.finish(&path);
    }
    assert_eq!(log().matches("connected again").count(), 3, "{}", log());
    nbd(&["detach", &device.to_string()]).ok();
    until_gone(device);
}

/// Longer than a restart takes, and nobody has said how long requests may take.
pub(crate) fn an_outage_of_ten_seconds_is_outlasted_by_default() {
    let served = Served::new(SIZE);
    let device = persist(&served, &[]);
    let path = device.path();
    let before = [0..100, 100..200].map(|part| Writer::start(&path, part));
    for writer in &before {
        writer.wait_for(5);
    }
    served.kill();
    let during = Writer::start(&path, 200..300);
    // No event to wait for: that so much time passes is what is tested.
    thread::sleep(Duration::from_secs(10));
    let _served = Served::start();
    let writers = before.into_iter().chain([during]).collect::<Vec<_>>();
    for writer in &writers {
        writer.wait_for(5);
    }
    for writer in writers {
        writer.finish(&path);
    }
    nbd(&["detach", &device.to_string()]).ok();
    until_gone(device);
}

pub(crate) fn requests_fail_when_the_server_stays_away() {
    let served = Served::new(SIZE);
    let device = persist(&served, &["--timeout=1", "--dead-timeout=1"]);
    let file = open_direct(&device.path());
    served.kill();
    assert_eq!(read_direct(&file, 4096, 0).unwrap_err().raw_os_error(), Some(5));
    drop(file);
    // It goes on trying.
    stayer();
    nbd(&["detach", &device.to_string()]).ok();
    until_gone(device);
    assert_eq!(nbd(&["status", &device.to_string()]).code, Some(3));
}

pub(crate) fn who_persists_ends_with_the_device() {
    let served = Served::new(SIZE);
    let device = persist(&served, &[]);
    assert_eq!(staying().len(), 1);
    nbd(&["detach", &device.to_string()]).ok();
    until_gone(device);
    assert!(log().contains("detached by another process"), "{}", log());
}

pub(crate) fn a_grown_export_is_followed_when_asked() {
    let served = Served::new(SIZE);
    let device = persist(&served, &[&SOON[..], &["--follow-size"]].concat());
    let file = open_direct(&device.path());
    served.kill();
    set_size(2 * SIZE);
    let _served = Served::start();
    assert_eq!(read_direct(&file, 4096, 0).unwrap(), [0; 4096], "it waits for the new connection");
    // The kernel is told of the size behind that.
    until(|| shown(device, "size") == (2 * SIZE / 512).to_string());
    assert_eq!(read_direct(&file, 4096, 2 * SIZE - 4096).unwrap(), [0; 4096]);
    until(|| log().contains("the export has 16777216 bytes now"));
}
