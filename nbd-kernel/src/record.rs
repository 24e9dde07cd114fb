//! What the kernel does not keep: where a device leads to, and since when. A small file below `/run`, believed only as
//! long as the kernel names the same process.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nbd_proto::text::Escaped;

use crate::device_id::DeviceId;
use crate::system::System;

const DIR: &str = "/run/nbd";

/// The file, as long as this process has the device.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    left: bool,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) origin: String,
    pub(crate) since: SystemTime,
}

impl Record {
    /// Writes it, if there is a place for it. Nothing depends on it.
    pub(crate) fn write(system: &dyn System, device: DeviceId, origin: &str) -> Option<Self> {
        let pid = system.attribute(device, "pid").ok()??;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let path = path(device);
        let written = fs::create_dir_all(DIR).and_then(|()| {
            // Whole or not at all, for somebody may be reading.
            let new = path.with_extension("new");
            fs::write(&new, format!("{pid}\n{since}\n{}\n", Escaped(origin)))?;
            fs::rename(&new, &path)
        });
        if let Err(error) = written {
            tracing::debug!("{}: {error}", path.display());
            return None;
        }
        Some(Self { path, left: false })
    }

    /// Whether somebody took it away, as [`remove`] does before a device is detached.
    pub(crate) fn is_removed(&self) -> bool {
        !self.path.exists()
    }

    /// It stays for whoever comes after this process.
    pub(crate) fn leave(&mut self) {
        self.left = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.left {
            // It means nothing any more, whether it goes or not.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is noted about a device that the kernel says was attached by this process.
pub(crate) fn read(device: DeviceId, pid: &str) -> Option<Note> {
    parse(&fs::read_to_string(path(device)).ok()?, pid)
}

/// Forgets a device.
pub(crate) fn remove(device: DeviceId) {
    let _ = fs::remove_file(path(device));
}

fn path(device: DeviceId) -> PathBuf {
    PathBuf::from(DIR).join(device.name())
}

fn parse(text: &str, pid: &str) -> Option<Note> {
    let mut lines = text.lines();
    if lines.next()? != pid {
        return None;
    }
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(lines.next()?.parse().ok()?))?;
    Some(Note { origin: lines.next()?.to_owned(), since })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Note, parse};

    #[test]
    fn a_note_of_another_process_is_not_believed() {
        let text = "12\n1700000000\nnbd://a\n";
        let since = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(parse(text, "12"), Some(Note { origin: "nbd://a".to_owned(), since }));
        assert_eq!(parse(text, "13"), None);
    }

    #[test]
    fn a_broken_note_is_none() {
        for text in ["", "12", "12\n", "12\nnow\nnbd://a\n", "12\n1\n", "12\n18446744073709551615\nx\n"] {
            assert_eq!(parse(text, "12"), None, "{text:?}");
        }
    }
}
