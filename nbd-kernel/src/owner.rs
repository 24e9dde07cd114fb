//! Who attached a device.

use std::fmt;

use crate::device_id::DeviceId;
use crate::error::{Error, Step};
use crate::record::{self, Note};
use crate::system::{Process, System};
use crate::{advice, attach::Interface};

/// Who attached a device, and what he has left to be read.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) interface: Interface,
    /// As the kernel names it: by ioctl the thread that it was lent.
    pub(crate) task: u32,
    /// The process, if it lives for certain. By netlink the kernel only remembers its number, which may be somebody
    /// else's by now; then the note tells.
    pub(crate) process: Option<Process>,
    /// Whether it has ended for certain. Without a note a process of its number may be it or not.
    ended: bool,
    pub(crate) note: Option<Note>,
    /// What the kernel was told the device leads to.
    pub(crate) backend: Option<String>,
}

impl Owner {
    /// `None` if the device is not attached.
    pub(crate) fn of(system: &dyn System, device: DeviceId) -> Result<Option<Self>, Error> {
        let attribute = |name| {
            let read = system.attribute(device, name);
            read.map_err(|error| advice::failed(system, Step::Sysfs(name), device, error))
        };
        let (task, backend) = loop {
            let Some(task) = attribute("pid")? else { return Ok(None) };
            let backend = attribute("backend")?;
            // One that ended in between has no backend any more, and would look as if it was made by ioctl.
            if attribute("pid")?.as_ref() == Some(&task) {
                break (task, backend);
            }
        };
        // The attribute exists for devices that were made by netlink, even if nothing is in it.
        let interface = if backend.is_some() { Interface::Netlink } else { Interface::Ioctl };
        let note = record::read(system, device, &task);
        let task = task.parse().unwrap_or(0);
        let found = system.process(task);
        let same = found.as_ref().and_then(|process| match interface {
            Interface::Ioctl => Some(true),
            Interface::Netlink => note.as_ref().map(|note| note.began == process.began),
        });
        let ended = found.is_none() || same == Some(false);
        let process = found.filter(|_| same == Some(true));
        Ok(Some(Self { interface, task, process, ended, note, backend: backend.filter(|text| !text.is_empty()) }))
    }

    /// Whether he is there, and looks whether his device is wanted.
    pub(crate) fn keeps_it(&self) -> bool {
        self.process.is_some() && self.note.is_some()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(Process { pid, name, .. }) => write!(f, "{name} (process {pid})"),
            None if self.ended => write!(f, "process {}, which has ended since", self.task),
            None => write!(f, "process {}", self.task),
        }
    }
}
