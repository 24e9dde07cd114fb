//! What `nbd status` shows.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nbd_kernel::{Attach, Interface};
use serde_json::{Value, json};

use super::run::{attach, nbd, stayer};
use crate::support::{Site, open_direct, read_direct, shown};

const SIZE: u64 = 3 << 20;

/// The device can be used at once, too.
pub(crate) fn it_shows_what_is_attached(interface: Interface) {
    let site = Site::memory(SIZE);
    let uri = site.uri.to_string();
    assert_eq!(nbd(&["status"]).ok(), "");
    let device = attach(interface, &[&uri, "nbd2"]);
    assert_eq!(shown(device, "size"), (SIZE / 512).to_string());
    assert_eq!(read_direct(&open_direct(&device.path()), 4096, SIZE - 4096).unwrap(), [0; 4096]);

    let table = nbd(&["status"]).ok();
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert_eq!(lines[0], ["DEVICE", "SIZE", "RO", "CONNECTIONS", "INTERFACE", "SINCE", "BY", "URI"]);
    assert_eq!(lines[1][..5], ["/dev/nbd2", "3M", "no", "1", name(interface)], "{table}");
    assert_eq!(lines[1].last(), Some(&&uri[..]), "{table}");
    assert!(table.contains(" ago "), "{table}");

    let one = nbd(&["status", "nbd2"]).ok();
    for line in [
        "device: /dev/nbd2".to_owned(),
        format!("uri: {uri}"),
        format!("interface: {}", name(interface)),
        "size: 3145728 (3M)".to_owned(),
        "connections: 1".to_owned(),
    ] {
        assert!(one.lines().any(|shown| shown == line), "{line}: {one}");
    }

    let idle = nbd(&["status", "nbd5"]);
    assert_eq!((idle.code, &idle.text[..]), (Some(3), ""));
    assert_eq!(idle.errors, "nbd: /dev/nbd5 is not attached\n");
    nbd(&["detach", "nbd2"]).ok();
    assert_eq!(nbd(&["status", "nbd2"]).code, Some(3));
    assert_eq!(nbd(&["status"]).ok(), "");
}

fn name(interface: Interface) -> &'static str {
    match interface {
        Interface::Ioctl => "ioctl",
        Interface::Netlink => "netlink",
    }
}

pub(crate) fn its_json_has_every_field(interface: Interface) {
    let site = Site::memory(SIZE);
    let uri = site.uri.to_string();
    let before = now();
    let device = attach(interface, &[&uri]);
    let after = now();
    let mut one = json_of(&["status", "--json", &device.to_string()]);
    assert_eq!(json_of(&["status", "--json"]), json!([one]));

    let since = one["since"].take().as_u64().unwrap();
    assert!((before..=after).contains(&since), "{before} {since} {after}");
    let pid = one["pid"].take().as_u64().unwrap();
    let staying = match interface {
        Interface::Ioctl => {
            assert_eq!(pid, u64::from(stayer().as_raw_pid().unsigned_abs()));
            json!("nbd")
        }
        Interface::Netlink => Value::Null,
    };
    let number = |name| shown(device, name).parse::<u64>().unwrap();
    let expected = json!({
        "device": "/dev/nbd0",
        "attached": true,
        "uri": uri,
        "backend": if interface == Interface::Netlink { json!(uri) } else { Value::Null },
        "interface": name(interface),
        "since": null,
        "pid": null,
        "process": staying,
        "size": SIZE,
        "read_only": false,
        "connections": 1,
        "queue": {
            "logical_block_size": 512,
            "physical_block_size": 512,
            "max_request": number("queue/max_sectors_kb") * 1024,
            "discard_max": number("queue/discard_max_bytes"),
            "write_zeroes_max": number("queue/write_zeroes_max_bytes"),
            "write_back": true,
            "fua": true,
            "rotational": number("queue/rotational") != 0,
        },
    });
    assert_eq!(one, expected);
    nbd(&["detach", &device.to_string()]).ok();
    assert_eq!(json_of(&["status", "--json"]), json!([]));
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&nbd(args).ok()).unwrap()
}

/// What a device is said to lead to, and the name of whoever has attached it, may have been chosen by anybody.
pub(crate) fn text_that_plays_tricks_is_escaped(interface: Interface) {
    const TRICKS: &str = "a\u{1b}[31mb\u{202e}c\nd";
    const NAME: &str = "/proc/self/comm";
    let plays_tricks = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    let site = Site::memory(SIZE);
    let name = fs::read(NAME).unwrap();
    fs::write(NAME, "x\u{1b}[31my").unwrap();
    let device = Attach::new().interface(interface).origin(TRICKS).attach([site.connect()]).unwrap();
    let id = device.id().to_string();
    for args in [&["status"][..], &["status", &id], &["status", "--all"], &["status", "--json"]] {
        let shown = nbd(args).ok();
        assert!(!shown.contains(plays_tricks), "{shown:?}");
        assert!(shown.contains(r"u{1b}[31mb") && shown.contains(r"u{202e}c"), "{shown}");
        assert!(shown.contains(r"u{1b}[31my"), "{shown}");
    }
    let uri = site.uri.to_string();
    let refused = nbd(&["attach", &uri, &id]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.errors.contains(r"x\u{1b}[31my") && !refused.errors.contains(plays_tricks), "{refused:?}");
    device.detach().unwrap();
    fs::write(NAME, name).unwrap();
}

pub(crate) fn idle_devices_are_shown_when_asked() {
    let site = Site::memory(SIZE);
    attach(Interface::Netlink, &[&site.uri.to_string(), "nbd4"]);
    let held = fs::File::open("/dev/nbd6").unwrap();
    let all = json_of(&["status", "--all", "--json"]);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 16);
    for (number, device) in all.iter().enumerate() {
        assert_eq!(device["device"], format!("/dev/nbd{number}"));
        assert_eq!(device["attached"], number == 4, "{device}");
        if number != 4 {
            assert_eq!(device["in_use"], number == 6, "{device}");
        }
    }
    drop(held);
}
