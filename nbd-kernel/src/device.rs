//! A device that is attached, and its owner.

mod life;
mod settling;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::advice;
use crate::attach::{Interface, seconds};
use crate::connection::Connection;
use crate::detach::Detached;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::export::Export;
use crate::geometry::Geometry;
use crate::ioctl::Running;
use crate::links::Links;
use crate::netlink::{ClientFlags, Reconfigure};
use crate::owned;
use crate::record::Record;
use crate::stopper::Stopper;
use crate::system::System;

pub(crate) use life::Life;

/// How often a device is looked at that has nothing to tell.
const TICK: Duration = Duration::from_millis(500);

/// How a device ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody asked for it: the owner, or another process.
    Detached,
    /// The last connection died, or the server broke the protocol or took too long.
    ServerGone,
}

/// An attached device. It has one owner, this value.
///
/// Dropping it detaches the device: what is in flight fails, and so does whatever its users try from then on. That takes
/// no longer than about 10 seconds, however badly the server or the kernel behave; then the rest is left to the
/// kernel. What goes wrong is only logged: [`detach`](Self::detach) tells it. A device made by netlink can be left
/// attached instead: [`leave`](Self::leave).
///
/// ```text
///   Connection ──┐ Attach::attach                      leave ──▶ attached, without an owner ──▶ Detach::detach
///   Connection ──┼────────────────▶ Device ────────────────┤
///   Connection ──┘                  │   ▲  wait, resize,   └──▶ detach, drop ──▶ free again
///                                   └───┘  replace
/// ```
#[derive(Debug)]
pub struct Device {
    system: Arc<dyn System>,
    id: DeviceId,
    way: Way,
    export: Export,
    geometry: Geometry,
    client_flags: ClientFlags,
    /// Whom the kernel names as the one who attached it. Another name stands for another device of the same number.
    task: Option<String>,
    /// Counts as a user of the device, so that it does not end before the first real one.
    opener: Option<OwnedFd>,
    record: Option<Record>,
    warnings: Vec<String>,
    /// Since when all sockets are shut without a word.
    silent_since: Option<Instant>,
    stopper: Stopper,
    /// How it ended, as far as this is known.
    over: Option<Ended>,
}

/// How the kernel was told.
#[derive(Debug)]
pub(crate) enum Way {
    Ioctl { running: Arc<Running>, sockets: Vec<OwnedFd> },
    Netlink(Links),
}

impl Device {
    pub(crate) fn new(
        system: Arc<dyn System>,
        id: DeviceId,
        way: Way,
        export: Export,
        geometry: Geometry,
        client_flags: ClientFlags,
        stopper: Stopper,
    ) -> Self {
        if let Way::Ioctl { running, .. } = &way {
            running.tell(stopper.clone());
        }
        Self {
            system,
            id,
            way,
            export,
            geometry,
            client_flags,
            task: None,
            opener: None,
            record: None,
            warnings: Vec::new(),
            silent_since: None,
            stopper,
            over: None,
        }
    }

    fn attribute(&self, name: &'static str) -> Result<Option<String>, Error> {
        let read = self.system.attribute(self.id, name);
        read.map_err(|error| advice::failed(&*self.system, Step::Sysfs(name), self.id, error))
    }

    /// Which one it is.
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Its node.
    pub fn path(&self) -> PathBuf {
        self.id.path()
    }

    /// How the kernel was told.
    pub fn interface(&self) -> Interface {
        match self.way {
            Way::Ioctl { .. } => Interface::Ioctl,
            Way::Netlink(_) => Interface::Netlink,
        }
    }

    /// Its block size and size.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What the server told about the export.
    pub fn export(&self) -> &Export {
        &self.export
    }

    /// What a user of the device should know, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until the device has ended or lost its last connection. `None` if neither comes in time, or if it was
    /// [stopped](Self::stopper).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Ended>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.look()? {
                Life::Over(ended) => return Ok(Some(ended)),
                Life::Lost(dead) if self.connections() == dead => return Ok(Some(Ended::ServerGone)),
                Life::Lost(_) | Life::Well => {}
            }
            let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() || self.stopper.is_stopped() {
                return Ok(None);
            }
            self.pause(left.min(TICK));
        }
    }

    /// Ends [`wait`](Self::wait) from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// How many connections it was given.
    pub(crate) fn connections(&self) -> usize {
        match &self.way {
            Way::Ioctl { sockets, .. } => sockets.len(),
            Way::Netlink(links) => links.sockets().len(),
        }
    }

    /// Tells the kernel that the export has another size now, in bytes. What does not fill a block is left out. The
    /// kernel may wait for requests in flight, so this is not for a device whose connections are all dead.
    pub fn resize(&mut self, size: u64) -> Result<(), Error> {
        let geometry = Geometry::of_size(size, self.geometry.block_size)?;
        self.check_ours()?;
        match &mut self.way {
            Way::Ioctl { running, .. } => running.resize(geometry.size)?,
            Way::Netlink(links) => links.resize(geometry.size)?,
        }
        self.grown(size, geometry);
        Ok(())
    }

    fn grown(&mut self, size: u64, geometry: Geometry) {
        self.geometry = geometry;
        self.export.size = size;
    }

    /// Gives the device a connection in place of one that is dead; with none dead it is refused, for the kernel would
    /// drop it without a word. It must lead to the same export, which may have another size if `follow_size` is set:
    /// then the device takes it. Netlink only.
    pub fn replace(&mut self, connection: Connection, follow_size: bool) -> Result<(), Error> {
        let export = connection.export().clone();
        if follow_size {
            self.export.check_same_but_for_size(&export)?;
        } else {
            self.export.check_same(&export)?;
        }
        let geometry = Geometry::of_size(export.size, self.geometry.block_size)?;
        let changed = geometry != self.geometry;
        let id = self.id;
        let links = self.links("to replace a connection")?;
        if links.dead()? == 0 {
            return Err(Error::NoneDead(id));
        }
        links.replace(connection)?;
        if changed {
            // Not in one message: for a new size the kernel waits for requests in flight, which wait for the connection.
            links.resize(geometry.size)?;
        }
        self.grown(export.size, geometry);
        Ok(())
    }

    /// How long the server may take for a request, and how long requests wait for a new connection; see
    /// [`Attach`](crate::Attach). In whole seconds, rounded up; 0 stands for no time-out, as `None` does there. Netlink
    /// only.
    pub fn set_timeouts(&mut self, timeout: Duration, dead_timeout: Duration) -> Result<(), Error> {
        let (timeout, dead_timeout) = (Some(seconds(Some(timeout))?), Some(seconds(Some(dead_timeout))?));
        let change = Reconfigure { timeout, dead_timeout, ..Reconfigure::default() };
        self.links("to change time-outs")?.reconfigure(&change)
    }

    fn set_client_flags(&mut self) -> Result<(), Error> {
        let client_flags = Some(self.client_flags);
        self.links("to set flags")?.reconfigure(&Reconfigure { client_flags, ..Reconfigure::default() })
    }

    fn links(&mut self, what: &'static str) -> Result<&mut Links, Error> {
        if self.interface() == Interface::Netlink {
            self.check_ours()?;
        }
        match &mut self.way {
            Way::Ioctl { .. } => Err(Error::NeedsNetlink(what)),
            Way::Netlink(links) => Ok(links),
        }
    }

    /// Nothing is asked of a device that has ended, or that another has attached under the same name since.
    fn check_ours(&self) -> Result<(), Error> {
        if self.over.is_none() && is_ours(&*self.system, self.id, self.task.as_deref())? {
            return Ok(());
        }
        Err(Error::NotAttached(self.id))
    }

    /// Leaves the device attached without an owner. One that was made by ioctl cannot be left, and comes back.
    pub fn leave(mut self) -> Result<(), Box<Self>> {
        if self.interface() == Interface::Ioctl {
            return Err(Box::new(self));
        }
        self.over = Some(Ended::Detached);
        if let Some(record) = &mut self.record {
            record.leave();
        }
        Ok(())
    }

    /// Detaches the device, and waits until that is done.
    pub fn detach(mut self) -> Result<Detached, Error> {
        self.end()
    }

    fn end(&mut self) -> Result<Detached, Error> {
        if self.over.is_some() {
            return Ok(Detached::default());
        }
        self.over = Some(Ended::Detached);
        self.opener = None;
        match &mut self.way {
            Way::Ioctl { running, sockets } => owned::end_ioctl(&self.system, self.id, running, sockets),
            Way::Netlink(links) => {
                // Where it cannot be told, it is taken for ours: it is worse to leave it behind.
                if is_ours(&*self.system, self.id, self.task.as_deref()).unwrap_or(true) {
                    owned::end_netlink(&self.system, self.id, links.sockets())
                } else {
                    Ok(Detached::default())
                }
            }
        }
    }
}

/// Whether the kernel still names the same task as the one who attached the device; as long as it has named none, the
/// device is on its way.
fn is_ours(system: &dyn System, id: DeviceId, task: Option<&str>) -> Result<bool, Error> {
    let Some(task) = task else { return Ok(true) };
    let now = system.attribute(id, "pid");
    let now = now.map_err(|error| advice::failed(system, Step::Sysfs("pid"), id, error))?;
    Ok(now.as_deref() == Some(task))
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{error}");
        }
    }
}
