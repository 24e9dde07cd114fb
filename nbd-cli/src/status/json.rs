//! The list for programs.

use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use nbd_kernel::{Interface, Status};
use serde_json::{Value, json};

use super::Shown;
use crate::json::printable;

pub(super) fn one(status: &Status, out: &mut impl Write) -> io::Result<()> {
    print(&attached(status), out)
}

pub(super) fn list(devices: &[Shown], out: &mut impl Write) -> io::Result<()> {
    let values = devices.iter().map(|shown| match shown {
        Shown::Attached(status) => attached(status),
        Shown::Idle(device, held) => json!({ "device": device.to_string(), "attached": false, "in_use": held }),
    });
    print(&values.collect(), out)
}

fn print(value: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", printable(&serde_json::to_string_pretty(value)?))
}

fn attached(status: &Status) -> Value {
    let since = status.since.and_then(|since| Some(since.duration_since(UNIX_EPOCH).ok()?.as_secs()));
    let queue = &status.queue;
    json!({
        "device": status.device.to_string(),
        "attached": true,
        "uri": status.origin,
        "backend": status.backend,
        "interface": interface(status.interface),
        "since": since,
        "pid": status.pid,
        "process": status.process,
        "size": status.size,
        "read_only": status.read_only,
        "connections": status.connections,
        "queue": {
            "logical_block_size": queue.logical_block_size,
            "physical_block_size": queue.physical_block_size,
            "max_request": queue.max_request,
            "discard_max": queue.discard_max,
            "write_zeroes_max": queue.write_zeroes_max,
            "write_back": queue.write_back,
            "fua": queue.fua,
            "rotational": queue.rotational,
        },
    })
}

pub(super) fn interface(interface: Interface) -> &'static str {
    match interface {
        Interface::Netlink => "netlink",
        Interface::Ioctl => "ioctl",
    }
}
