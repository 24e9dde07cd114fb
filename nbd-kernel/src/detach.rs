//! The end of a device that has no owner in this process, whatever state it is in.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::advice;
use crate::attach::Interface;
use crate::bounded::{until, within};
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::linux::Linux;
use crate::netlink::{Failure, Session};
use crate::owner::Owner;
use crate::record;
use crate::system::{Call, Process, System};

/// How long an owner may take who was asked to end a device.
const OWNER: Duration = Duration::from_secs(4);

/// A server that finishes no request for this long, with some in flight, does not answer.
const NO_ANSWER: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detached {
    /// Who still has the device open, in words for people. Its connections are gone and every request fails, but the
    /// kernel gives the name to nobody else until the last of them has closed it.
    pub still_held: Vec<String>,
}

/// How to end a device that has no owner in this process.
#[derive(Clone, Debug)]
pub struct Detach {
    force: bool,
    patience: Duration,
}

impl Default for Detach {
    fn default() -> Self {
        Self { force: false, patience: Duration::from_secs(10) }
    }
}

impl Detach {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the device goes even if it is mounted or otherwise in use, and even if the server does not answer:
    /// what is in flight fails then. An owner in another process that does not let go of an ioctl device is
    /// killed. Default: no.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// How long each step may take. Default: 10 seconds. One step may take longer, by up to twice the device's request
    /// time-out: by force, a device that was left without an owner while it sends to a server that takes nothing.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Ends the device, and waits until that is done.
    pub fn detach(&self, device: DeviceId) -> Result<Detached, Error> {
        self.detach_on(&(Arc::new(Linux) as Arc<dyn System>), device)
    }

    pub(crate) fn detach_on(&self, system: &Arc<dyn System>, device: DeviceId) -> Result<Detached, Error> {
        let Some(owner) = Owner::of(&**system, device)? else { return Err(Error::NotAttached(device)) };
        if !self.force {
            // Whoever runs the device has it open for that, and no other reason.
            let runs = owner.process.as_ref().map(|process| format!("(process {})", process.pid));
            let mut holders = system.holders(device);
            holders.retain(|holder| runs.as_ref().is_none_or(|runs| !holder.ends_with(runs)));
            if !holders.is_empty() {
                return Err(Error::InUse { device, holders: holders.join(", ") });
            }
            // The kernel would hang in its farewell, and with it, on some kernels, every generic netlink user.
            if !answers(&**system, device) {
                return Err(Error::ServerSilent(device));
            }
        }

        record::request_end(&**system, device);
        let ended = match owner.interface {
            Interface::Netlink => self.end_netlink(system, device, &owner),
            Interface::Ioctl => self.end_ioctl(system, device, &owner),
        };
        // An owner who lives has yet to see who asked, and clears up himself.
        if !(owner.keeps_it() && lives(&**system, &owner)) {
            match &ended {
                Ok(()) => record::remove(&**system, device),
                Err(_) => record::withdraw(&**system, device),
            }
        }
        ended?;
        Ok(still_held(&**system, device, || is_gone(&**system, device, &owner)))
    }

    /// By netlink it is over when the kernel has answered; a user can only keep the name.
    fn end_netlink(&self, system: &Arc<dyn System>, device: DeviceId, owner: &Owner) -> Result<(), Error> {
        let gone = || is_gone(&**system, device, owner);
        if self.force && owner.keeps_it() && until(&**system, OWNER, gone) {
            return Ok(());
        }
        let time =
            if self.force { self.patience.saturating_add(longest_send(&**system, device)) } else { self.patience };
        within(time, device, netlink_disconnect(system, device))
    }

    /// By ioctl it is over when the thread is back; a user can only keep the name.
    fn end_ioctl(&self, system: &Arc<dyn System>, device: DeviceId, owner: &Owner) -> Result<(), Error> {
        let is_back = |process: &Process| {
            system.process(owner.task).is_none_or(|now| (now.pid, now.began) != (process.pid, process.began))
        };
        let over = || is_gone(&**system, device, owner) || owner.process.as_ref().is_some_and(is_back);
        let over_within = |time| until(&**system, time, over);
        // Nobody is killed who does not have it: in a container the kernel's numbers are those of others.
        let has_it = |process: &&Process| !self.force || system.borrow_node(process.pid, device).is_ok();
        let process = owner.process.as_ref().filter(has_it);
        let Some(process) = process.filter(|process| self.force && process.pid != std::process::id()) else {
            within(self.patience, device, ioctl_disconnect(system, device, process.map(|process| process.pid)))?;
            return if over_within(self.patience) { Ok(()) } else { Err(too_late(device, self.patience)) };
        };
        // The kernel may hang in whatever it is told: the owner, who has the sockets, is asked first.
        if owner.note.is_some() && over_within(OWNER) {
            return Ok(());
        }
        for signal in [Signal::TERM, Signal::KILL] {
            tracing::warn!("{device}: sending signal {} to its owner, process {}", signal.as_raw(), process.pid);
            system.signal(process.pid, signal);
            if over_within(self.patience) {
                return Ok(());
            }
        }
        Err(too_late(device, self.patience))
    }
}

fn too_late(device: DeviceId, after: Duration) -> Error {
    Error::TimedOut { device, what: "its end", after }
}

/// Whether the device is free, or has been attached anew.
fn is_gone(system: &dyn System, device: DeviceId, owner: &Owner) -> bool {
    let task = |pid: String| pid.parse().unwrap_or(0);
    system.attribute(device, "pid").is_ok_and(|pid| pid.map(task) != Some(owner.task))
}

/// Whether nobody has it.
pub(crate) fn is_free(system: &dyn System, device: DeviceId) -> bool {
    system.attribute(device, "pid").is_ok_and(|pid| pid.is_none())
}

fn lives(system: &dyn System, owner: &Owner) -> bool {
    let process = owner.process.as_ref();
    process.is_some_and(|process| system.process(process.pid).is_some_and(|now| now.began == process.began))
}

/// Whether the server does something, or has nothing to do.
fn answers(system: &dyn System, device: DeviceId) -> bool {
    let Some(before) = system.traffic(device) else { return true };
    until(system, NO_ANSWER, || {
        system.traffic(device).is_none_or(|now| now.in_flight == 0 || now.finished != before.finished)
    })
}

/// How long the kernel may go on sending to a server that takes nothing: until its request time-out, counted coarsely.
fn longest_send(system: &dyn System, device: DeviceId) -> Duration {
    let time = system.attribute(device, "queue/io_timeout").ok().flatten().and_then(|millis| millis.parse().ok());
    2 * Duration::from_millis(time.map_or(0, |millis: u32| millis.into()))
}

/// Who keeps the name of a device that has ended.
pub(crate) fn still_held(system: &dyn System, device: DeviceId, is_gone: impl Fn() -> bool) -> Detached {
    let gone = until(system, Duration::from_millis(500), is_gone);
    Detached { still_held: if gone { Vec::new() } else { system.holders(device) } }
}

/// Asks the kernel to end a device; to be done with [`within`].
pub(crate) fn netlink_disconnect(
    system: &Arc<dyn System>,
    device: DeviceId,
) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
    let system = Arc::clone(system);
    move || {
        let opened = system.netlink().map_err(Failure::Io).and_then(Session::open);
        let failed = |step| move |failure| (step, failure);
        let done = opened
            .map_err(failed(Step::OpenNetlink))
            .and_then(|mut session| session.disconnect(device.0).map_err(failed(Step::NetlinkDisconnect)));
        done.map_err(|(step, failure)| advice::refused(&*system, step, Some(device), failure))
    }
}

fn ioctl_disconnect(
    system: &Arc<dyn System>,
    device: DeviceId,
    owner: Option<u32>,
) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
    let system = Arc::clone(system);
    move || {
        let failed = |step, error| advice::failed(&*system, step, device, error);
        let borrowed = owner.and_then(|pid| system.borrow_node(pid, device).ok());
        let opened = borrowed.map_or_else(|| system.open_node(device), Ok);
        let node = opened.map_err(|error| failed(Step::OpenNode, error))?;
        system.ioctl(node.as_fd(), Call::Disconnect).map_err(|error| failed(Step::Disconnect, error))
    }
}
