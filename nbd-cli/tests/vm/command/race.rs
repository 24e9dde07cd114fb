//! Two commands at the same time.

use std::process::{Child, Stdio};

use nbd_kernel::{DeviceId, Interface};

use super::run::{Run, attaching, device, ended, nbd, until_gone};
use crate::support::Site;

const ROUNDS: usize = 5;

fn race(interface: Interface, args: &[&str]) -> [Run; 2] {
    let start =
        || -> Child { attaching(interface, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() };
    [start(), start()].map(ended)
}

pub(crate) fn of_two_that_want_the_same_device_one_gets_it(interface: Interface) {
    let site = Site::memory(1 << 20);
    for _ in 0..ROUNDS {
        let (winners, losers): (Vec<_>, Vec<_>) =
            race(interface, &[&site.uri.to_string(), "nbd3"]).into_iter().partition(|run| run.code == Some(0));
        let (Ok([winner]), Ok([loser])) = (<[Run; 1]>::try_from(winners), <[Run; 1]>::try_from(losers)) else {
            panic!("not one of each")
        };
        assert_eq!(device(&winner.ok()), DeviceId(3));
        let text = loser.failure();
        assert!(text.contains("attached already") || text.contains("busy"), "{text}");
        nbd(&["detach", "nbd3"]).ok();
        until_gone(DeviceId(3));
    }
}

pub(crate) fn two_that_want_any_device_get_different_ones(interface: Interface) {
    let site = Site::memory(1 << 20);
    for _ in 0..ROUNDS {
        let devices = race(interface, &[&site.uri.to_string()]).map(|run| device(&run.ok()));
        assert_ne!(devices[0], devices[1]);
        for device in devices {
            nbd(&["detach", &device.to_string()]).ok();
        }
        devices.into_iter().for_each(until_gone);
    }
}
