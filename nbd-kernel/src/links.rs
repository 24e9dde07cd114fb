//! The life of a device by netlink: it runs without anybody, tells of dead connections, and takes new ones for them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::advice;
use crate::connection::Connection;
use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::netlink::{ClientFlags, Connect, Event, Failure, Reconfigure, Session};
use crate::settings::Settings;
use crate::socket;
use crate::system::{Notices, System};

/// What only netlink can be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// In seconds, 0 for none.
    pub(crate) dead_timeout: u64,
    pub(crate) identifier: Option<String>,
    pub(crate) client_flags: ClientFlags,
}

/// A device that runs, and its sockets.
#[derive(Debug)]
pub(crate) struct Links {
    system: Arc<dyn System>,
    device: DeviceId,
    session: Session,
    notices: Option<Box<dyn Notices>>,
    identifier: Option<String>,
    /// The kernel has its own references. These tell which connections are dead, and can end one that hangs.
    sockets: Vec<OwnedFd>,
    /// How many connections the kernel has told to be dead, less those that got a new socket.
    dead: usize,
}

impl Links {
    /// Makes the device, without an id the first that is free. The device runs when this returns.
    pub(crate) fn connect(
        system: &Arc<dyn System>,
        mut session: Session,
        wanted: Option<DeviceId>,
        connections: &[Connection],
        settings: &Settings,
        extras: &Extras,
    ) -> Result<Self, Error> {
        // First of all, so that no death is missed.
        let notices = match session.events_group().map(|group| system.notices(group)) {
            Some(Err(source)) => {
                return Err(advice::refused(&**system, Step::NetlinkEvents, wanted, Failure::Io(source)));
            }
            Some(Ok(notices)) => Some(notices),
            None => None,
        };
        let sockets: Vec<_> = connections.iter().map(|connection| connection.as_fd()).collect();
        let request = Connect {
            index: wanted.map(|device| device.0),
            size: settings.geometry.size,
            block_size: settings.geometry.block_size.into(),
            timeout: Some(settings.timeout),
            dead_timeout: Some(extras.dead_timeout),
            server_flags: settings.flags.bits().into(),
            client_flags: extras.client_flags,
            identifier: extras.identifier.as_deref(),
            sockets: &sockets,
        };
        let index = session
            .connect(&request)
            .map_err(|failure| advice::refused(&**system, Step::NetlinkConnect, wanted, failure))?;
        Ok(Self {
            system: Arc::clone(system),
            device: DeviceId(index),
            session,
            notices,
            identifier: extras.identifier.clone(),
            sockets: Vec::new(),
            dead: 0,
        })
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.device
    }

    /// Keeps the sockets that the kernel was given.
    pub(crate) fn keep(&mut self, connections: impl IntoIterator<Item = Connection>) {
        self.sockets.extend(connections.into_iter().map(Connection::into_socket));
    }

    /// Changes what `change` names; the identifier is filled in.
    pub(crate) fn reconfigure(&mut self, change: &Reconfigure<'_>) -> Result<(), Error> {
        let change = Reconfigure { identifier: self.identifier.as_deref(), ..*change };
        let done = self.session.reconfigure(self.device.0, &change);
        done.map_err(|failure| self.failed(Step::NetlinkReconfigure, failure))
    }

    /// Gives the device a new connection in place of a dead one.
    pub(crate) fn replace(&mut self, connection: Connection) -> Result<(), Error> {
        self.reconfigure(&Reconfigure { sockets: &[connection.as_fd()], ..Reconfigure::default() })?;
        if let Some(at) = self.sockets.iter().position(socket::is_dead) {
            self.sockets.swap_remove(at);
        }
        self.sockets.push(connection.into_socket());
        self.dead = self.dead.saturating_sub(1);
        Ok(())
    }

    pub(crate) fn resize(&mut self, size: u64) -> Result<(), Error> {
        self.reconfigure(&Reconfigure { size: Some(size), ..Reconfigure::default() })
    }

    /// How many connections are dead and have not been replaced, after all that the kernel has told by now.
    pub(crate) fn dead(&mut self) -> Result<usize, Error> {
        while let Some(notices) = &mut self.notices {
            match notices.next() {
                Ok(Some(Event::LinkDead(index))) if index == self.device.0 => self.dead += 1,
                Ok(Some(Event::LinkDead(_))) => {}
                // What was dropped may have been of this device: then only the sockets can tell.
                Ok(Some(Event::Overrun)) => self.dead = self.dead.max(self.hung_up()),
                Ok(None) => break,
                Err(failure) => return Err(self.failed(Step::NetlinkEvents, failure)),
            }
        }
        self.dead = self.dead.min(self.sockets.len());
        Ok(self.dead)
    }

    /// Whether the kernel still has the device, be all its connections dead: one that was detached, and keeps its name
    /// only for those who have it open, cannot be changed any more.
    pub(crate) fn is_attached(&mut self) -> Result<bool, Error> {
        let nothing = Reconfigure { identifier: self.identifier.as_deref(), ..Reconfigure::default() };
        match self.session.reconfigure(self.device.0, &nothing) {
            Ok(()) => Ok(true),
            Err(Failure::Refused { errno: Errno::INVAL, .. }) => Ok(false),
            Err(failure) => Err(self.failed(Step::NetlinkReconfigure, failure)),
        }
    }

    /// Counts what can be seen to be dead, where the kernel's news are not heard.
    pub(crate) fn count_unheard(&mut self) -> usize {
        self.dead = self.hung_up();
        self.dead
    }

    /// How many sockets are dead, whoever ended them.
    pub(crate) fn hung_up(&self) -> usize {
        self.sockets.iter().filter(|socket| socket::is_dead(socket)).count()
    }

    pub(crate) fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }

    /// Readable when [`dead`](Self::dead) may say something new.
    pub(crate) fn notices(&self) -> Option<BorrowedFd<'_>> {
        self.notices.as_ref().map(|notices| notices.as_fd())
    }

    fn failed(&self, step: Step, failure: Failure) -> Error {
        advice::refused(&*self.system, step, Some(self.device), failure)
    }
}
