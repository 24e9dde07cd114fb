//! What the kernel does not keep: where a device leads to and since when, and that its end is wanted. Small files below
//! `/run`; what they say of a device is believed only as long as the kernel names the same task.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nbd_proto::text::Escaped;

use crate::device_id::DeviceId;
use crate::system::{Process, System};

/// The note about a device, as long as this process has it.
#[derive(Debug)]
pub(crate) struct Record {
    note: PathBuf,
    request: PathBuf,
    text: String,
    left: bool,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) origin: String,
    pub(crate) since: SystemTime,
    /// When the process began that attached it; see [`Process`].
    pub(crate) began: u64,
}

impl Record {
    /// Writes it, if there is a place for it. Nothing depends on it.
    pub(crate) fn write(system: &dyn System, device: DeviceId, origin: &str) -> Option<Self> {
        let task = system.attribute(device, "pid").ok()??;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let Process { began, .. } = system.process(task.parse().ok()?)?;
        let text = format!("{task}\n{began}\n{since}\n{}\n", Escaped(origin));
        let record = Self { note: note_path(system, device), request: request_path(system, device), text, left: false };
        // One for the device that had this name before is none for this one.
        let _ = fs::remove_file(&record.request);
        match write_whole(&record.note, &record.text) {
            Ok(()) => Some(record),
            Err(error) => {
                tracing::debug!("{}: {error}", record.note.display());
                None
            }
        }
    }

    /// Whether another process wants the device to end; see [`request_end`].
    pub(crate) fn end_is_wanted(&self) -> bool {
        self.request.exists()
    }

    /// It stays for whoever comes after this process.
    pub(crate) fn leave(&mut self) {
        self.left = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let anothers = fs::read_to_string(&self.note).is_ok_and(|text| text != self.text);
        if !self.left && !anothers {
            // They mean nothing any more, whether they go or not.
            let _ = fs::remove_file(&self.note);
            let _ = fs::remove_file(&self.request);
        }
    }
}

/// What is noted about a device that the kernel says was attached by this task.
pub(crate) fn read(system: &dyn System, device: DeviceId, task: &str) -> Option<Note> {
    parse(&fs::read_to_string(note_path(system, device)).ok()?, task)
}

/// Asks the owner of a device, in whichever process, to detach it. Whoever has its sockets can do so even when the
/// kernel hangs on them.
pub(crate) fn request_end(system: &dyn System, device: DeviceId) {
    // Without a place for it there is no owner who looks.
    let _ = write_whole(&request_path(system, device), "");
}

/// Takes it back.
pub(crate) fn withdraw(system: &dyn System, device: DeviceId) {
    // It may never have been there.
    let _ = fs::remove_file(request_path(system, device));
}

/// Forgets a device.
pub(crate) fn remove(system: &dyn System, device: DeviceId) {
    // They may never have been there.
    let _ = fs::remove_file(note_path(system, device));
    let _ = fs::remove_file(request_path(system, device));
}

/// That the largest request of a device was lowered for a server, in KiB: the kernel keeps it for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lowered {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// What was lowered for the last server that had this device.
pub(crate) fn lowered(system: &dyn System, device: DeviceId) -> Option<Lowered> {
    let text = fs::read_to_string(lowered_path(system, device)).ok()?;
    let (from, to) = text.trim_end().split_once(' ')?;
    Some(Lowered { from: from.parse().ok()?, to: to.parse().ok()? })
}

/// Notes it for the next one.
pub(crate) fn set_lowered(system: &dyn System, device: DeviceId, lowered: Option<Lowered>) {
    let path = lowered_path(system, device);
    // Without a place for it the next server gets smaller requests than it could take.
    let _ = match lowered {
        Some(Lowered { from, to }) => write_whole(&path, &format!("{from} {to}\n")),
        None => fs::remove_file(path),
    };
}

fn lowered_path(system: &dyn System, device: DeviceId) -> PathBuf {
    system.notes().join(format!("{}.lowered", device.name()))
}

fn note_path(system: &dyn System, device: DeviceId) -> PathBuf {
    system.notes().join(device.name())
}

fn request_path(system: &dyn System, device: DeviceId) -> PathBuf {
    system.notes().join(format!("{}.detach", device.name()))
}

/// Whole or not at all, for somebody may be reading.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // Not the one of the other file about the device, which somebody else may be writing.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

fn parse(text: &str, task: &str) -> Option<Note> {
    let mut lines = text.lines();
    if lines.next()? != task {
        return None;
    }
    let began = lines.next()?.parse().ok()?;
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(lines.next()?.parse().ok()?))?;
    Some(Note { origin: lines.next()?.to_owned(), since, began })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Note, parse};

    #[test]
    fn a_note_of_another_process_is_not_believed() {
        let text = "12\n99\n1700000000\nnbd://a\n";
        let since = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(parse(text, "12"), Some(Note { origin: "nbd://a".to_owned(), since, began: 99 }));
        assert_eq!(parse(text, "13"), None);
    }

    #[test]
    fn a_broken_note_is_none() {
        for text in [
            "",
            "12",
            "12\n",
            "12\n1\nnow\nnbd://a\n",
            "12\n1\n1\n",
            "12\n1\n18446744073709551615\nx\n",
            "12\nx\n1\ny\n",
        ] {
            assert_eq!(parse(text, "12"), None, "{text:?}");
        }
    }
}
