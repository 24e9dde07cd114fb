//! From connections to a device.

use std::sync::Arc;
use std::time::Duration;

use nbd_proto::wire::flags::TransmissionFlags;
use rustix::io::Errno;

use crate::advice;
use crate::connection::Connection;
use crate::device::{Device, Way};
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::export::Export;
use crate::geometry::Geometry;
use crate::ioctl::{Claim, Running};
use crate::links::{Extras, Links};
use crate::linux::Linux;
use crate::netlink::{ClientFlags, Failure, Session};
use crate::settings::Settings;
use crate::stopper::Stopper;
use crate::system::System;

/// Somebody who only passes by, such as udev, holds a device open for less than this.
const PASSING: Duration = Duration::from_secs(2);

/// How often it is tried in this time.
const PASSING_TRIES: u32 = 40;

/// How the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Generic netlink: the device needs no process, and its connections can be replaced.
    Netlink,
    /// The older ioctls: a thread of this process runs the device, which ends with it.
    Ioctl,
}

/// How to make a device. Every setting has a default that suits most.
#[derive(Clone, Debug)]
pub struct Attach {
    device: Option<DeviceId>,
    interface: Option<Interface>,
    block_size: Option<u32>,
    timeout: Option<Duration>,
    dead_timeout: Option<Duration>,
    read_only: bool,
    identifier: Option<String>,
    pub(crate) origin: Option<String>,
    destroy_on_disconnect: bool,
    disconnect_on_close: bool,
}

impl Default for Attach {
    fn default() -> Self {
        Self {
            device: None,
            interface: None,
            block_size: None,
            timeout: Some(Duration::from_secs(60)),
            dead_timeout: None,
            read_only: false,
            identifier: None,
            origin: None,
            destroy_on_disconnect: false,
            disconnect_on_close: false,
        }
    }
}

impl Attach {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which device. Default: the first that is free.
    #[must_use]
    pub fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// How to tell the kernel. Default: netlink where the kernel has it, else ioctl.
    #[must_use]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interface = Some(interface);
        self
    }

    /// The device's block size in bytes: a power of two, from 512 or the server's minimum on, up to what the kernel
    /// takes. Default: the larger of these two.
    #[must_use]
    pub fn block_size(mut self, bytes: u32) -> Self {
        self.block_size = Some(bytes);
        self
    }

    /// How long the server may take for a request, in whole seconds, rounded up; the kernel looks only now and then,
    /// so that it may take twice as long. Then the connection is given up: with ioctl the device ends, with netlink
    /// another connection takes over, or the dead time-out begins. Default: 60 seconds. With `None` a request may take
    /// for ever, and hang for ever when the server is lost without a word.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long requests wait for a new connection when all are dead, in whole seconds, rounded up, before they fail
    /// with EIO. Default: not at all. Netlink only.
    #[must_use]
    pub fn dead_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.dead_timeout = timeout;
        self
    }

    /// Whether the device is read-only even if the export is not. Default: as the export.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// What the kernel shows as the device's `backend`, and then wants to hear with each change. Without NUL bytes, and
    /// at most 4000 bytes. Default: none. Netlink only.
    #[must_use]
    pub fn identifier(mut self, text: impl Into<String>) -> Self {
        self.identifier = Some(text.into());
        self
    }

    /// What the device leads to, in words for people, usually the URI: kept in `/run/nbd` for [`Status`], together
    /// with the time, as long as the device is attached. Default: nothing is kept.
    ///
    /// [`Status`]: crate::Status
    #[must_use]
    pub fn origin(mut self, text: impl Into<String>) -> Self {
        self.origin = Some(text.into());
        self
    }

    /// Whether the kernel removes the device's node in the end, even one that was there from the start. Default: no.
    /// Netlink only.
    #[must_use]
    pub fn destroy_on_disconnect(mut self, destroy: bool) -> Self {
        self.destroy_on_disconnect = destroy;
        self
    }

    /// Whether the device is to end when the last user closes it. The [`Device`] counts as one until it is left.
    /// Default: no. Netlink only.
    #[must_use]
    pub fn disconnect_on_close(mut self, disconnect: bool) -> Self {
        self.disconnect_on_close = disconnect;
        self
    }

    /// Makes the device. All connections must lead to the same export; the first call to the kernel comes after all
    /// checks. When this returns, the device has its size and can be opened.
    pub fn attach(&self, connections: impl IntoIterator<Item = Connection>) -> Result<Device, Error> {
        self.attach_on(&(Arc::new(Linux) as Arc<dyn System>), connections.into_iter().collect())
    }

    pub(crate) fn attach_on(&self, system: &Arc<dyn System>, connections: Vec<Connection>) -> Result<Device, Error> {
        let export = same_export(&connections)?;
        let geometry = Geometry::new(&export, self.block_size, system.largest_block())?;
        let stopper = Stopper::new()?;
        let mut flags = export.flags;
        flags.set(TransmissionFlags::READ_ONLY, self.read_only || flags.contains(TransmissionFlags::READ_ONLY));
        let settings = Settings { geometry, timeout: seconds(self.timeout)?, flags };
        let extras = Extras {
            dead_timeout: seconds(self.dead_timeout)?,
            identifier: self.identifier.clone(),
            client_flags: if self.destroy_on_disconnect {
                ClientFlags::DESTROY_ON_DISCONNECT
            } else {
                ClientFlags::empty()
            },
        };

        let (id, way) = match self.session(system)? {
            Some(session) => {
                let mut links = self.by_netlink(system, session, &connections, &settings, &extras)?;
                links.keep(connections);
                (links.device(), Way::Netlink(links))
            }
            None => {
                self.refuse_netlink_settings()?;
                let (id, running) = self.by_ioctl(system, &connections, &settings)?;
                (id, Way::Ioctl { running, sockets: connections.into_iter().map(Connection::into_socket).collect() })
            }
        };
        let mut device = Device::new(Arc::clone(system), id, way, export, geometry, extras.client_flags, stopper);
        device.settle(self.origin.as_deref(), self.disconnect_on_close)?;
        Ok(device)
    }

    /// The way to the kernel; `None` stands for ioctl.
    fn session(&self, system: &Arc<dyn System>) -> Result<Option<Session>, Error> {
        if self.interface == Some(Interface::Ioctl) {
            return Ok(None);
        }
        let opened = system.netlink().map_err(Failure::Io).and_then(Session::open);
        match opened {
            Ok(session) => Ok(Some(session)),
            Err(Failure::NoFamily) if self.interface.is_none() => Ok(None),
            Err(failure) => Err(advice::refused(&**system, Step::OpenNetlink, self.device, failure)),
        }
    }

    fn refuse_netlink_settings(&self) -> Result<(), Error> {
        let asked = [
            (self.dead_timeout.is_some(), "a dead time-out"),
            (self.identifier.is_some() && self.interface.is_some(), "an identifier"),
            (self.destroy_on_disconnect, "to remove the node in the end"),
            (self.disconnect_on_close, "to end with the last user"),
        ];
        match asked.iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(Error::NeedsNetlink(what)),
            None => Ok(()),
        }
    }

    fn by_netlink(
        &self,
        system: &Arc<dyn System>,
        session: Session,
        connections: &[Connection],
        settings: &Settings,
        extras: &Extras,
    ) -> Result<Links, Error> {
        let mut session = Some(session);
        // A device that is being torn down is EINVAL; every other reason for that has been ruled out before.
        patiently(system, self.device, &[Errno::BUSY, Errno::INVAL], || {
            let session = match session.take() {
                Some(session) => session,
                None => system
                    .netlink()
                    .map_err(Failure::Io)
                    .and_then(Session::open)
                    .map_err(|failure| advice::refused(&**system, Step::OpenNetlink, self.device, failure))?,
            };
            Links::connect(system, session, self.device, connections, settings, extras)
        })
    }

    fn by_ioctl(
        &self,
        system: &Arc<dyn System>,
        connections: &[Connection],
        settings: &Settings,
    ) -> Result<(DeviceId, Arc<Running>), Error> {
        let [first, ..] = connections else { return Err(Error::NoConnection) };
        let (id, claim) = match self.device {
            Some(device) => {
                let claim = patiently(system, Some(device), &[Errno::BUSY], || Claim::stake(system, device, first))?;
                (device, claim)
            }
            None => Self::claim_any(system, first)?,
        };
        Ok((id, claim.start(connections, settings)?))
    }

    fn claim_any(system: &Arc<dyn System>, first: &Connection) -> Result<(DeviceId, Claim), Error> {
        let failed = |source| Error::Step { step: Step::Sysfs("list"), device: None, source, advice: None };
        let devices = system.devices().map_err(failed)?;
        if devices.is_empty() {
            // The error says why.
            return Claim::stake(system, DeviceId(0), first).map(|claim| (DeviceId(0), claim));
        }
        for &device in &devices {
            if advice::by(&**system, device).is_some() {
                continue;
            }
            match Claim::stake(system, device, first) {
                Ok(claim) => return Ok((device, claim)),
                Err(Error::AlreadyAttached { .. }) => {}
                Err(error) if errno(&error) == Some(Errno::BUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoFreeDevice(devices.len()))
    }
}

/// Whether the kernel has the netlink interface. `false` also without the module.
pub fn netlink_available() -> bool {
    Linux.netlink().map_err(Failure::Io).and_then(Session::open).is_ok()
}

fn same_export(connections: &[Connection]) -> Result<Export, Error> {
    let [first, others @ ..] = connections else { return Err(Error::NoConnection) };
    for other in others {
        first.export().check_same(other.export())?;
    }
    if !others.is_empty() && !first.export().flags.contains(TransmissionFlags::CAN_MULTI_CONN) {
        return Err(Error::NoMultiConn(connections.len()));
    }
    Ok(first.export().clone())
}

/// Tries again while somebody who passes by is in the way, but not if the device is attached.
fn patiently<T>(
    system: &Arc<dyn System>,
    device: Option<DeviceId>,
    passing: &[Errno],
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        if let Some(device) = device {
            if let Some(by) = advice::by(&**system, device) {
                return Err(Error::AlreadyAttached { device, by });
            }
        }
        match attempt() {
            Err(error) if tries < PASSING_TRIES && errno(&error).is_some_and(|errno| passing.contains(&errno)) => {
                tries += 1;
                system.pause(PASSING / PASSING_TRIES);
            }
            ended => return ended,
        }
    }
}

fn errno(error: &Error) -> Option<Errno> {
    match error {
        Error::Step { source, .. } => Errno::from_io_error(source),
        _ => None,
    }
}

/// Whole seconds, rounded up, so that no time becomes none.
pub(crate) fn seconds(time: Option<Duration>) -> Result<u64, Error> {
    let Some(time) = time else { return Ok(0) };
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    // The kernel counts in ticks, of which there are up to 1000 a second, in 32 bits on some machines.
    if seconds > LONGEST {
        return Err(Error::Setting(format!(
            "a time-out of {seconds} seconds is more than the kernel takes ({LONGEST})"
        )));
    }
    Ok(seconds)
}

/// Seconds in a time-out: 24 days.
const LONGEST: u64 = 2_000_000;
