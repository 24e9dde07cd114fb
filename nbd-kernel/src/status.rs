//! What is attached, as the kernel and our own notes tell.

use std::time::SystemTime;

use crate::advice;
use crate::attach::Interface;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::linux::Linux;
use crate::netlink::{DeviceState, Failure, Session};
use crate::owner::Owner;
use crate::system::System;

/// An attached device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Which one.
    pub device: DeviceId,
    /// How it was made.
    pub interface: Interface,
    /// The process that made it. It may have ended since if it was made by netlink.
    pub pid: u32,
    /// What that process is called, if it lives. Escaped.
    pub process: Option<String>,
    /// What the kernel was told the device leads to; netlink only. Not escaped.
    pub backend: Option<String>,
    /// What the device leads to, by the note of whoever attached it. Escaped.
    pub origin: Option<String>,
    /// Since when, by the same note.
    pub since: Option<SystemTime>,
    /// Size in bytes.
    pub size: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// How many connections are in use.
    pub connections: usize,
    /// How requests are made.
    pub queue: Queue,
}

/// The settings of a device's queue (Linux, `Documentation/ABI/stable/sysfs-block`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Queue {
    /// The smallest request in bytes.
    pub logical_block_size: u64,
    /// The smallest efficient request in bytes.
    pub physical_block_size: u64,
    /// The largest request in bytes.
    pub max_request: u64,
    /// The largest trim in bytes, 0 if there is none.
    pub discard_max: u64,
    /// The largest write of zeroes in bytes, 0 if there is none.
    pub write_zeroes_max: u64,
    /// Whether flushes are sent.
    pub write_back: bool,
    /// Whether single writes can be forced to the disk.
    pub fua: bool,
    /// Whether seeks are slow.
    pub rotational: bool,
}

impl Status {
    /// What is known of a device; `None` if it is not attached.
    pub fn of(device: DeviceId) -> Result<Option<Self>, Error> {
        Self::read(&Linux, device)
    }

    /// What is known of each attached device.
    pub fn all() -> Result<Vec<Self>, Error> {
        let failed = |source| Error::Step { step: Step::Sysfs("list"), device: None, source, advice: None };
        let devices = Linux.devices().map_err(failed)?;
        devices.into_iter().filter_map(|device| Self::of(device).transpose()).collect()
    }

    pub(crate) fn read(system: &dyn System, device: DeviceId) -> Result<Option<Self>, Error> {
        let text = |name| {
            let read = system.attribute(device, name);
            read.map_err(|error| advice::failed(system, Step::Sysfs(name), device, error))
        };
        // What is missing or odd on some kernel is shown as nothing.
        let number = |name| text(name).map(|text| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0));
        // An idle device shows what is left of the one before.
        let Some(owner) = Owner::of(system, device)? else { return Ok(None) };
        Ok(Some(Self {
            device,
            interface: owner.interface,
            pid: owner.process.as_ref().map_or(owner.task, |process| process.pid),
            process: owner.process.map(|process| process.name),
            backend: owner.backend,
            since: owner.note.as_ref().map(|note| note.since),
            origin: owner.note.map(|note| note.origin),
            size: number("size")?.saturating_mul(512),
            read_only: number("ro")? != 0,
            connections: system.queues(device),
            queue: Queue {
                logical_block_size: number("queue/logical_block_size")?,
                physical_block_size: number("queue/physical_block_size")?,
                max_request: number("queue/max_sectors_kb")?.saturating_mul(1024),
                discard_max: number("queue/discard_max_bytes")?,
                write_zeroes_max: number("queue/write_zeroes_max_bytes")?,
                write_back: text("queue/write_cache")?.as_deref() == Some("write back"),
                fua: number("queue/fua")? != 0,
                rotational: number("queue/rotational")? != 0,
            },
        }))
    }
}

/// Whether a device could be attached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Which one.
    pub device: DeviceId,
    /// Whether it is attached, or somebody has it open: either makes it busy.
    pub in_use: bool,
}

impl Usage {
    /// All devices there are, by the kernel's own list (`NBD_CMD_STATUS`). Needs no rights, but netlink.
    pub fn all() -> Result<Vec<Self>, Error> {
        Self::read(&Linux)
    }

    pub(crate) fn read(system: &dyn System) -> Result<Vec<Self>, Error> {
        let failed = |step| move |failure| advice::refused(system, step, None, failure);
        let opened = system.netlink().map_err(Failure::Io).and_then(Session::open);
        let mut session = opened.map_err(failed(Step::OpenNetlink))?;
        let devices = session.status(None).map_err(failed(Step::NetlinkStatus))?;
        let usage = |state: DeviceState| Self { device: DeviceId(state.index), in_use: state.connected };
        Ok(devices.into_iter().map(usage).collect())
    }
}
