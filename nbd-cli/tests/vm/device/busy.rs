//! Devices that somebody else has.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::thread;

use nbd_kernel::{Attach, DeviceId, Error, Interface};

use crate::support::{Site, until};

const ID: DeviceId = DeviceId(3);

pub(crate) fn an_attached_device_is_refused_at_once(interface: Interface) {
    let site = Site::memory(1 << 20);
    let attach = Attach::new().interface(interface).device(ID).origin("here");
    let _device = attach.attach([site.connect()]).unwrap();
    let refused = attach.attach([site.connect()]).unwrap_err();
    let Error::AlreadyAttached { device, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*device, ID);
    let text = format!("/dev/nbd3 is attached already by vm-tests (process {})", std::process::id());
    assert_eq!(refused.to_string(), text);
}

pub(crate) fn a_device_that_is_held_open_is_refused_with_the_holders_name(interface: Interface) {
    let site = Site::memory(1 << 20);
    let mut holder = Command::new("sleep").arg("1000").stdin(File::open(ID.path()).unwrap()).spawn().unwrap();
    let held = Attach::new().interface(interface).device(ID).attach([site.connect()]);
    match interface {
        // The kernel lets others have it open: only netlink wants it for itself.
        Interface::Ioctl => drop(held.unwrap()),
        Interface::Netlink => {
            let text = held.unwrap_err().to_string();
            assert!(text.starts_with("/dev/nbd3: NBD_CMD_CONNECT: Device or resource busy"), "{text}");
            assert!(text.contains(&format!("held open by sleep (process {})", holder.id())), "{text}");
        }
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// As udev does it, only longer.
pub(crate) fn a_passing_opener_is_waited_for(interface: Interface) {
    let site = Site::memory(1 << 20);
    let opened = File::open(ID.path()).unwrap();
    let (sender, started) = mpsc::channel();
    let attaching = thread::spawn(move || {
        sender.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
        Attach::new().interface(interface).device(ID).attach([site.connect()]).unwrap().id()
    });
    let task = Path::new("/proc").join(started.recv().unwrap());
    // By netlink it is refused as long as the device is open, and sleeps before the next attempt.
    let sleeps = || fs::read_to_string(task.join("stack")).is_ok_and(|stack| stack.contains("nanosleep"));
    until(|| attaching.is_finished() || sleeps());
    assert!(!attaching.is_finished() || interface == Interface::Ioctl);
    drop(opened);
    assert_eq!(attaching.join().unwrap(), ID);
}

pub(crate) fn of_two_that_race_for_a_device_one_gets_it(interface: Interface) {
    let site = Site::memory(1 << 20);
    for _ in 0..10 {
        let barrier = Barrier::new(2);
        let results = thread::scope(|scope| {
            let racers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let connection = site.connect();
                        barrier.wait();
                        Attach::new().interface(interface).device(ID).attach([connection])
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
        });
        let winners = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(winners, 1, "{results:?}");
        for loser in results.into_iter().filter_map(Result::err) {
            let text = loser.to_string();
            assert!(text.contains("attached already") || text.contains("busy"), "{text}");
        }
    }
}
