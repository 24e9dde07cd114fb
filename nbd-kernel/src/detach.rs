//! The end of a device, its owner's or anybody's, whatever state it is in.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::advice;
use crate::attach::Interface;
use crate::bounded::bounded;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::ioctl::Running;
use crate::links::Links;
use crate::linux::Linux;
use crate::netlink::{Failure, Session};
use crate::record;
use crate::socket;
use crate::system::{Call, System};

/// How long the polite way may take: the server is told, and hangs up.
const POLITE: Duration = Duration::from_secs(3);

/// How long the other way may take.
const RUDE: Duration = Duration::from_secs(3);

/// How often the device is looked at.
const LOOK: Duration = Duration::from_millis(10);

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

    /// Whether the device goes even if it is mounted or otherwise in use, and even if the server does not answer.
    /// Default: no.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// How long it may take. Default: 10 seconds.
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
        let attribute = |name| {
            let read = system.attribute(device, name);
            read.map_err(|error| advice::failed(&**system, Step::Sysfs(name), device, error))
        };
        let Some(pid) = attribute("pid")? else { return Err(Error::NotAttached(device)) };
        let process = pid.parse().map_or(0, |pid| system.process_of(pid));
        if !self.force {
            // Whoever runs the device has it open for that, and no other reason.
            let runs = format!("(process {process})");
            let holders: Vec<_> = system.holders(device).into_iter().filter(|who| !who.ends_with(&runs)).collect();
            if !holders.is_empty() {
                return Err(Error::InUse { device, holders: holders.join(", ") });
            }
        }
        // Before all else, for it tells the device's owner that its end was asked for.
        record::remove(device);
        // The attribute exists for devices that were made by netlink, even if nothing is in it.
        let interface = if attribute("backend")?.is_some() { Interface::Netlink } else { Interface::Ioctl };
        let asked = match interface {
            Interface::Netlink => within(self.patience / 2, device, netlink_disconnect(system, device)),
            Interface::Ioctl => within(self.patience / 2, device, ioctl(system, device, process, Step::Disconnect)),
        };
        let gone = || system.attribute(device, "pid").is_ok_and(|pid| pid.is_none());
        let answered = asked.is_ok();
        if !(answered && until(&**system, self.patience / 2, gone)) {
            // By netlink it is over when the kernel has answered; only the name is still taken.
            let over = answered && interface == Interface::Netlink;
            if !over {
                if !self.force {
                    asked?;
                    return Err(Error::TimedOut { device, what: "its end", after: self.patience });
                }
                within(self.patience / 2, device, ioctl(system, device, process, Step::ClearSock))?;
                until(&**system, self.patience / 2, gone);
            }
        }
        if gone() {
            return Ok(Detached::default());
        }
        Ok(Detached { still_held: system.holders(device) })
    }
}

/// Ends a device of this process that was made by ioctl.
pub(crate) fn own_ioctl(
    system: &Arc<dyn System>,
    device: DeviceId,
    running: &Arc<Running>,
    sockets: &[OwnedFd],
) -> Result<Detached, Error> {
    let soon = |time| Some(Instant::now() + time);
    let asking = Arc::clone(running);
    let asked = within(POLITE, device, move || asking.disconnect());
    let mut ended = running.wait(soon(if asked.is_ok() { POLITE } else { Duration::ZERO }));
    if ended.is_none() {
        // What hangs in the kernel hangs on one of these.
        sockets.iter().for_each(socket::shut_down);
        let clearing = Arc::clone(running);
        within(RUDE, device, move || clearing.clear())?;
        ended = running.wait(soon(RUDE));
    }
    match ended {
        None => Err(Error::TimedOut { device, what: "its end", after: POLITE + RUDE }),
        Some(ended) => {
            ended?;
            Ok(still_held(&**system, device))
        }
    }
}

/// Ends a device of this process that was made by netlink.
pub(crate) fn own_netlink(system: &Arc<dyn System>, device: DeviceId, links: &mut Links) -> Result<Detached, Error> {
    let asked = within(POLITE, device, netlink_disconnect(system, device));
    if let Err(Error::TimedOut { .. }) = asked {
        // What hangs in the kernel hangs on one of these.
        links.sockets().iter().for_each(socket::shut_down);
        within(RUDE, device, netlink_disconnect(system, device))?;
    } else {
        asked?;
    }
    Ok(still_held(&**system, device))
}

fn still_held(system: &dyn System, device: DeviceId) -> Detached {
    let gone =
        until(system, Duration::from_millis(500), || system.attribute(device, "pid").is_ok_and(|pid| pid.is_none()));
    Detached { still_held: if gone { Vec::new() } else { system.holders(device) } }
}

fn netlink_disconnect(
    system: &Arc<dyn System>,
    device: DeviceId,
) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
    let system = Arc::clone(system);
    move || {
        let opened = system.netlink().map_err(Failure::Io).and_then(Session::open);
        let mut session =
            opened.map_err(|failure| advice::refused(&*system, Step::OpenNetlink, Some(device), failure))?;
        let done = session.disconnect(device.0);
        done.map_err(|failure| advice::refused(&*system, Step::NetlinkDisconnect, Some(device), failure))
    }
}

fn ioctl(
    system: &Arc<dyn System>,
    device: DeviceId,
    process: u32,
    step: Step,
) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
    let system = Arc::clone(system);
    move || {
        let failed = |step, error| advice::failed(&*system, step, device, error);
        let borrowed = system.borrow_node(process, device);
        let node = borrowed.or_else(|_| system.open_node(device)).map_err(|error| failed(Step::OpenNode, error))?;
        let call = if step == Step::Disconnect { Call::Disconnect } else { Call::ClearSock };
        system.ioctl(node.as_fd(), call).map_err(|error| failed(step, error))
    }
}

/// Does a call that the kernel may keep.
fn within(
    time: Duration,
    device: DeviceId,
    call: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let called = bounded(time, call);
    let called =
        called.map_err(|source| Error::Step { step: Step::Thread, device: Some(device), source, advice: None })?;
    called.unwrap_or(Err(Error::TimedOut { device, what: "the kernel's answer", after: time }))
}

/// Looks until it is so; `false` if it is not so in time.
fn until(system: &dyn System, time: Duration, is_so: impl Fn() -> bool) -> bool {
    for _ in 0..=time.as_millis() / LOOK.as_millis() {
        if is_so() {
            return true;
        }
        system.pause(LOOK);
    }
    false
}
