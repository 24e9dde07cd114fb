//! Who holds a device open, so that an error can name them.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dev, major, minor};
use rustix::process::Pid;

use crate::device_id::DeviceId;

/// As many are named; a fork bomb is no reason for a long message.
const MOST: usize = 8;

/// The words for each holder of the device or of one of its partitions. This process is none.
pub(crate) fn of(device: DeviceId) -> Vec<String> {
    let mut found = dependents(device);
    found.extend(processes(&nodes(device)));
    found.truncate(MOST);
    found
}

/// What loses data when a device ends: file systems that are mounted from it, swap space, other block devices on top
/// of it. In words for people.
pub fn dependents(device: DeviceId) -> Vec<String> {
    let nodes = nodes(device);
    let mut found = mounts(&nodes);
    found.extend(swaps(&nodes));
    found.extend(stacked(device));
    found.truncate(MOST);
    found
}

/// The device's number and those of its partitions.
fn nodes(device: DeviceId) -> Vec<Dev> {
    let dir = PathBuf::from(format!("/sys/block/{}", device.name()));
    let mut nodes: Vec<_> = number(&dir).into_iter().collect();
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        if entry.path().join("partition").exists() {
            nodes.extend(number(&entry.path()));
        }
    }
    nodes
}

fn number(dir: &Path) -> Option<Dev> {
    let text = fs::read_to_string(dir.join("dev")).ok()?;
    parse_number(text.trim())
}

fn parse_number(text: &str) -> Option<Dev> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

fn mounts(nodes: &[Dev]) -> Vec<String> {
    let Ok(text) = fs::read_to_string("/proc/self/mountinfo") else { return Vec::new() };
    // The third field is the number of the device, the fifth where it is mounted (proc_pid_mountinfo(5)).
    let mounted = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let on = parse_number(fields.next()?)?;
        let place = fields.nth(1)?;
        nodes.contains(&on).then(|| format!("mounted on {}", place.escape_debug()))
    };
    text.lines().filter_map(mounted).collect()
}

fn swaps(nodes: &[Dev]) -> Vec<String> {
    let Ok(text) = fs::read_to_string("/proc/swaps") else { return Vec::new() };
    let swap = |line: &str| {
        let path = line.split_ascii_whitespace().next()?;
        is_node(Path::new(path), nodes).then(|| "used for swapping".to_owned())
    };
    text.lines().skip(1).filter_map(swap).collect()
}

/// Block devices on top of it, such as those of the device mapper.
fn stacked(device: DeviceId) -> Vec<String> {
    let dir = fs::read_dir(format!("/sys/block/{}/holders", device.name()));
    dir.into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("part of {}", entry.file_name().to_string_lossy().escape_debug()))
        .collect()
}

fn processes(nodes: &[Dev]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        if open_nodes(pid, nodes).next().is_some() {
            let name = fs::read(entry.path().join("comm")).unwrap_or_default();
            let name = String::from_utf8_lossy(name.trim_ascii_end()).escape_debug().to_string();
            found.push(format!("held open by {name} (process {pid})"));
        }
    }
    found
}

/// A process's descriptor of the device itself.
pub(crate) fn descriptor(process: Pid, device: DeviceId) -> Option<i32> {
    let whole = number(Path::new(&format!("/sys/block/{}", device.name())))?;
    let found = open_nodes(process.as_raw_pid().unsigned_abs(), &[whole]).next()?;
    found.file_name()?.to_str()?.parse().ok()
}

/// What a process has open of them.
fn open_nodes(process: u32, nodes: &[Dev]) -> impl Iterator<Item = PathBuf> {
    // Without the right to look, there is nothing to be seen.
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten().map(|file| file.path());
    // The link is read before it is followed: what is behind another path may be a file server that hangs.
    let of_dev = |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target.starts_with("/dev"));
    files.filter(move |path| of_dev(path) && is_node(path, nodes))
}

fn is_node(path: &Path, nodes: &[Dev]) -> bool {
    fs::metadata(path).is_ok_and(|meta| {
        let same = |node: &Dev| (major(*node), minor(*node)) == (major(meta.rdev()), minor(meta.rdev()));
        meta.file_type().is_block_device() && nodes.iter().any(same)
    })
}
