//! What to do about a call that failed.

use std::io;

use nbd_proto::text::Escaped;
use rustix::io::Errno;

use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::netlink::Failure;
use crate::owner::Owner;
use crate::system::System;

const RIGHTS: &str = "it needs the right CAP_SYS_ADMIN: try as root";
const MODULE: &str = "the kernel's module is not loaded: modprobe nbd";
const NAMESPACE: &str = "the module is loaded: the kernel is too old, or shows it in the first network namespace only";

/// The error for a call on a device, with what can be found out about the reason.
pub(crate) fn failed(system: &dyn System, step: Step, device: DeviceId, source: io::Error) -> Error {
    let advice = Errno::from_io_error(&source).and_then(|errno| advice(system, step, device, errno));
    Error::Step { step, device: Some(device), source, advice }
}

/// The same for a request by netlink.
pub(crate) fn refused(system: &dyn System, step: Step, device: Option<DeviceId>, failure: Failure) -> Error {
    match failure {
        Failure::NoFamily => no_family(system, device),
        Failure::Refused { errno, message } => {
            let found = device.and_then(|device| advice(system, step, device, errno)).or_else(|| general(errno));
            let kernel = message.map(|message| format!("the kernel says: {}", Escaped(&message)));
            let advice = [kernel, found].into_iter().flatten().reduce(|all, more| format!("{all}; {more}"));
            Error::Step { step, device, source: errno.into(), advice }
        }
        Failure::Io(source) => {
            let advice = Errno::from_io_error(&source).and_then(general);
            Error::Step { step, device, source, advice }
        }
        other => Error::Step { step, device, source: io::Error::new(io::ErrorKind::InvalidData, other), advice: None },
    }
}

/// The kernel does not know the netlink family.
pub(crate) fn no_family(system: &dyn System, device: Option<DeviceId>) -> Error {
    let advice = if system.devices().is_ok_and(|devices| devices.is_empty()) { MODULE } else { NAMESPACE };
    Error::Step { step: Step::OpenNetlink, device, source: Errno::NOENT.into(), advice: Some(advice.to_owned()) }
}

fn general(errno: Errno) -> Option<String> {
    match errno {
        Errno::PERM | Errno::ACCESS => Some(RIGHTS.to_owned()),
        _ => None,
    }
}

fn advice(system: &dyn System, step: Step, device: DeviceId, errno: Errno) -> Option<String> {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV if step == Step::OpenNode => {
            let devices = system.devices().unwrap_or_default();
            Some(match devices.last() {
                None => MODULE.to_owned(),
                Some(_) if devices.contains(&device) => "the node is missing, as it is in some containers".to_owned(),
                Some(last) => format!("the last device is {last}; more of them: modprobe nbd nbds_max=N"),
            })
        }
        Errno::BUSY => Some(match by(system, device) {
            Some(by) => format!("it is attached{by}"),
            None => match &system.holders(device)[..] {
                [] => "another process is attaching it, or has only just let it go".to_owned(),
                holders => format!("it is {}", holders.join(", ")),
            },
        }),
        Errno::INVAL if step == Step::SetBlkSize => Some("this kernel does not take such a block size".to_owned()),
        _ => general(errno),
    }
}

/// Who attached the device, as ` by …`; `None` if it is not attached.
pub(crate) fn by(system: &dyn System, device: DeviceId) -> Option<String> {
    Owner::of(system, device).ok().flatten().map(|owner| format!(" by {owner}"))
}
