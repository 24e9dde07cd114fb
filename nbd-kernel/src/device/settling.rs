//! From an attached device to one that can be used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nbd_proto::wire::flags::TransmissionFlags;

use super::{Device, Ended, Way};
use crate::advice;
use crate::bounded::bounded;
use crate::error::{Error, Step};
use crate::netlink::ClientFlags;
use crate::record::{self, Lowered, Record};

/// How long the kernel may take to show what it was told.
const READY: Duration = Duration::from_secs(10);

/// How long the server may take for the kernel's first reads.
const FIRST_READ: Duration = Duration::from_secs(30);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl Device {
    /// Waits until the device can be used, and does what is left to do then.
    pub(crate) fn settle(&mut self, origin: Option<&str>, disconnect_on_close: bool) -> Result<(), Error> {
        self.wait_until_ready()?;
        self.open_once()?;
        self.lower_max_sectors()?;
        self.look_for_leftovers()?;
        if disconnect_on_close {
            // Before somebody has opened it, the flag would end it with the next probe by udev.
            let opened = self.system.open_node(self.id);
            let opened = opened.map_err(|error| advice::failed(&*self.system, Step::OpenNode, self.id, error))?;
            self.opener = Some(opened);
            self.client_flags |= ClientFlags::DISCONNECT_ON_CLOSE;
            self.links("to end with the last user")?;
            self.set_client_flags()?;
        }
        self.record = origin.and_then(|origin| Record::write(&*self.system, self.id, origin));
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let sectors = (self.geometry.size / 512).to_string();
        for _ in 0..READY.as_millis() / LOOK.as_millis() {
            let task = self.attribute("pid")?;
            if task.is_some() && self.attribute("size")?.as_deref() == Some(&sectors[..]) {
                self.task = task;
                return Ok(());
            }
            if let Way::Ioctl { running, .. } = &self.way {
                if let Some(ended) = running.wait(Some(Instant::now())) {
                    ended?;
                    self.over = Some(Ended::ServerGone);
                    return Err(Error::EndedEarly(self.id));
                }
            }
            self.system.pause(LOOK);
        }
        Err(Error::TimedOut { device: self.id, what: "its size", after: READY })
    }

    /// The first to open a device makes the kernel look for partitions. Whoever that is hangs in it if the server does
    /// not answer, and so do all who come after; here it is bounded, and shows that the server does answer.
    fn open_once(&self) -> Result<(), Error> {
        let (system, id) = (Arc::clone(&self.system), self.id);
        let opened = bounded(FIRST_READ, move || system.open_node(id).map(drop));
        let opened =
            opened.map_err(|source| Error::Step { step: Step::Thread, device: Some(id), source, advice: None })?;
        match opened {
            None => {
                Err(Error::TimedOut { device: id, what: "the server's answer to the first read", after: FIRST_READ })
            }
            Some(opened) => opened.map_err(|error| advice::failed(&*self.system, Step::OpenNode, id, error)),
        }
    }

    /// The kernel has no field for what a server takes at once, and keeps what was set for the export before.
    fn lower_max_sectors(&self) -> Result<(), Error> {
        const NAME: &str = "queue/max_sectors_kb";
        let Some(now) = self.attribute(NAME)?.and_then(|text| text.parse::<u32>().ok()) else { return Ok(()) };
        let lowered = record::lowered(&*self.system, self.id);
        let own = lowered.filter(|lowered| lowered.to == now).map_or(now, |lowered| lowered.from);
        let most = self.export.maximum_payload / 1024;
        // Whole pages and whole blocks; there is room for one of each at least.
        let unit = (self.geometry.block_size / 1024).max(4);
        let value = if own <= most { own } else { most / unit * unit };
        if value != now {
            let set = self.system.set_attribute(self.id, NAME, &value.to_string());
            set.map_err(|error| advice::failed(&*self.system, Step::Sysfs(NAME), self.id, error))?;
        }
        let lowered = (value < own).then_some(Lowered { from: own, to: value });
        record::set_lowered(&*self.system, self.id, lowered);
        Ok(())
    }

    /// Some kernels keep what an earlier export could do.
    fn look_for_leftovers(&mut self) -> Result<(), Error> {
        const NAME: &str = "queue/write_zeroes_max_bytes";
        let can = self.export.flags.contains(TransmissionFlags::SEND_WRITE_ZEROES);
        if !can && self.attribute(NAME)?.is_some_and(|most| most != "0") {
            self.warnings.push(format!(
                "{}: the kernel remembers from an earlier export that it can write zeroes, and this one cannot: \
                 BLKZEROOUT will fail; another device would not have that problem",
                self.id
            ));
        }
        Ok(())
    }
}
