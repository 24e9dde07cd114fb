//! How a device is doing.

use std::time::{Duration, Instant};

use super::{Device, Ended, Way, is_ours};
use crate::error::Error;
use crate::waiting;

/// The kernel tells of a lost connection right after it has shut its socket. If all are shut and nothing was told for
/// this long, the end was asked for by somebody, or the news are not heard here.
const SILENCE: Duration = Duration::from_secs(2);

/// How a device is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Well,
    /// So many connections are dead. If it is all of them, requests wait or fail.
    Lost(usize),
    Over(Ended),
}

impl Device {
    /// Waits until [`look`](Self::look) may have something new, until it is stopped, or for this long.
    pub(crate) fn pause(&self, time: Duration) {
        let notices = match &self.way {
            Way::Ioctl { .. } => None,
            Way::Netlink(links) => links.notices(),
        };
        let descriptors: Vec<_> = notices.into_iter().chain([self.stopper.event()]).collect();
        waiting::readable(&descriptors, time);
        self.stopper.clear();
    }

    /// How it is doing right now.
    pub(crate) fn look(&mut self) -> Result<Life, Error> {
        if let Some(ended) = self.over {
            return Ok(Life::Over(ended));
        }
        let still_wanted = self.record.as_ref().is_none_or(|record| !record.end_is_wanted());
        let links = match &mut self.way {
            Way::Ioctl { running, .. } => {
                let Some(ended) = running.wait(Some(Instant::now())) else {
                    if !still_wanted {
                        self.end()?;
                        return Ok(Life::Over(Ended::Detached));
                    }
                    return Ok(Life::Well);
                };
                // The kernel does not tell who asked.
                let ended = ended.map(|ended| if still_wanted { ended } else { Ended::Detached });
                self.over = Some(*ended.as_ref().unwrap_or(&Ended::ServerGone));
                return ended.map(Life::Over);
            }
            Way::Netlink(_) if !still_wanted => {
                self.end()?;
                return Ok(Life::Over(Ended::Detached));
            }
            Way::Netlink(links) => links,
        };
        if !is_ours(&*self.system, self.id, self.task.as_deref())? {
            self.over = Some(Ended::Detached);
            return Ok(Life::Over(Ended::Detached));
        }
        let dead = links.dead()?;
        if dead > 0 {
            self.silent_since = None;
            return Ok(Life::Lost(dead));
        }
        if links.hung_up() < links.sockets().len() {
            self.silent_since = None;
            return Ok(Life::Well);
        }
        if self.silent_since.get_or_insert_with(Instant::now).elapsed() < SILENCE {
            return Ok(Life::Well);
        }
        // In another network namespace than the first, the kernel's news do not arrive.
        if links.is_attached()? {
            self.silent_since = None;
            return Ok(Life::Lost(links.count_unheard()));
        }
        // Detached by somebody else, and still held open by yet another.
        self.over = Some(Ended::Detached);
        Ok(Life::Over(Ended::Detached))
    }
}
