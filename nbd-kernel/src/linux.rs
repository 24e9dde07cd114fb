//! The running kernel.
#![allow(unsafe_code, reason = "the device's ioctls have no safe wrapper; each block says why it is sound")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, NoArg, Opcode, Setter, ioctl};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

use crate::device_id::DeviceId;
use crate::geometry::LARGEST_BLOCK;
use crate::holders;
use crate::netlink::{Event, Events, Failure, Group, KernelWire, Wire};
use crate::system::{Call, Notices, Process, System, Traffic};

const NBD_SET_SOCK: Opcode = 0xab00;
const NBD_SET_BLKSIZE: Opcode = 0xab01;
const NBD_SET_SIZE: Opcode = 0xab02;
const NBD_DO_IT: Opcode = 0xab03;
const NBD_CLEAR_SOCK: Opcode = 0xab04;
const NBD_CLEAR_QUE: Opcode = 0xab05;
const NBD_SET_SIZE_BLOCKS: Opcode = 0xab07;
const NBD_DISCONNECT: Opcode = 0xab08;
const NBD_SET_TIMEOUT: Opcode = 0xab09;
const NBD_SET_FLAGS: Opcode = 0xab0a;
const BLKROSET: Opcode = 0x125d;

/// From this version on blocks may be larger than a page.
const LARGE_BLOCKS_SINCE: (u32, u32) = (6, 15);

#[derive(Debug)]
pub(crate) struct Linux;

impl System for Linux {
    fn open_node(&self, device: DeviceId) -> io::Result<OwnedFd> {
        // Reading is enough for every call; closing a node that was open for writing would make udev probe it.
        Ok(File::open(device.path())?.into())
    }

    fn borrow_node(&self, pid: u32, device: DeviceId) -> io::Result<OwnedFd> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let number = holders::descriptor(pid, device).ok_or(Errno::BADF)?;
        Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
    }

    fn ioctl(&self, node: BorrowedFd<'_>, call: Call<'_>) -> io::Result<()> {
        let called = match call {
            Call::SetSock(socket) => {
                let number = usize::try_from(socket.as_raw_fd()).map_err(|_| too_large())?;
                // SAFETY: the argument is a number, no memory is touched. The kernel takes a reference of its own to
                // the socket, which is open for the length of the call.
                unsafe { ioctl(node, IntegerSetter::<NBD_SET_SOCK>::new_usize(number)) }
            }
            Call::SetBlkSize(bytes) => {
                let bytes = usize::try_from(bytes).map_err(|_| too_large())?;
                // SAFETY: the argument is a number, no memory is touched.
                unsafe { ioctl(node, IntegerSetter::<NBD_SET_BLKSIZE>::new_usize(bytes)) }
            }
            Call::SetSizeBlocks(blocks) => {
                let blocks = usize::try_from(blocks).map_err(|_| too_large())?;
                // SAFETY: the argument is a number, no memory is touched.
                unsafe { ioctl(node, IntegerSetter::<NBD_SET_SIZE_BLOCKS>::new_usize(blocks)) }
            }
            Call::SetSize(bytes) => {
                let bytes = usize::try_from(bytes).map_err(|_| too_large())?;
                // SAFETY: the argument is a number, no memory is touched.
                unsafe { ioctl(node, IntegerSetter::<NBD_SET_SIZE>::new_usize(bytes)) }
            }
            Call::SetTimeout(seconds) => {
                let seconds = usize::try_from(seconds).map_err(|_| too_large())?;
                // SAFETY: the argument is a number, no memory is touched.
                unsafe { ioctl(node, IntegerSetter::<NBD_SET_TIMEOUT>::new_usize(seconds)) }
            }
            // SAFETY: the argument is a number, no memory is touched.
            Call::SetFlags(flags) => unsafe { ioctl(node, IntegerSetter::<NBD_SET_FLAGS>::new_usize(flags.into())) },
            // SAFETY: without an argument no memory is touched.
            Call::DoIt => unsafe { ioctl(node, NoArg::<NBD_DO_IT>::new()) },
            // SAFETY: without an argument no memory is touched.
            Call::ClearQue => unsafe { ioctl(node, NoArg::<NBD_CLEAR_QUE>::new()) },
            // SAFETY: without an argument no memory is touched.
            Call::ClearSock => unsafe { ioctl(node, NoArg::<NBD_CLEAR_SOCK>::new()) },
            // SAFETY: without an argument no memory is touched.
            Call::Disconnect => unsafe { ioctl(node, NoArg::<NBD_DISCONNECT>::new()) },
            // SAFETY: the kernel reads one int, which is what it is given a pointer to.
            Call::SetReadOnly => unsafe { ioctl(node, Setter::<BLKROSET, rustix::ffi::c_int>::new(1)) },
        };
        Ok(called?)
    }

    fn netlink(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(KernelWire::open()?))
    }

    fn notices(&self, group: Group) -> io::Result<Box<dyn Notices>> {
        Ok(Box::new(Events::join(group)?))
    }

    fn devices(&self) -> io::Result<Vec<DeviceId>> {
        let mut devices = Vec::new();
        let entries = match fs::read_dir("/sys/block") {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(devices),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            // The other disks of the machine are of no interest.
            if name.to_str().is_some_and(|name| name.starts_with("nbd")) {
                devices.extend(DeviceId::parse(&name).ok());
            }
        }
        devices.sort_unstable();
        Ok(devices)
    }

    fn attribute(&self, device: DeviceId, name: &'static str) -> io::Result<Option<String>> {
        match fs::read_to_string(attribute_path(device, name)) {
            Ok(mut text) => {
                text.truncate(text.trim_end_matches('\n').len());
                Ok(Some(text))
            }
            // The second one is what a file gives that vanished after it was opened.
            Err(error) if error.kind() == ErrorKind::NotFound || is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_attribute(&self, device: DeviceId, name: &'static str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(attribute_path(device, name))?.write_all(value.as_bytes())
    }

    fn queues(&self, device: DeviceId) -> usize {
        fs::read_dir(attribute_path(device, "mq")).map_or(0, |queues| queues.flatten().count())
    }

    fn traffic(&self, device: DeviceId) -> Option<Traffic> {
        let count = |name, fields: &[usize]| {
            let text = self.attribute(device, name).ok()??;
            let numbers: Vec<u64> = text.split_ascii_whitespace().map_while(|text| text.parse().ok()).collect();
            fields.iter().map(|&field| numbers.get(field)).sum::<Option<u64>>()
        };
        // Reads and writes; and of each kind the first of four fields (the kernel's Documentation/block/stat.rst).
        Some(Traffic { in_flight: count("inflight", &[0, 1])?, finished: count("stat", &[0, 4, 11, 15])? })
    }

    fn notes(&self) -> PathBuf {
        PathBuf::from("/run/nbd")
    }

    fn signal(&self, pid: u32, signal: Signal) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        // It may have ended by itself, which is what is wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }

    fn largest_block(&self) -> u32 {
        let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
        let uname = rustix::system::uname();
        let since = uname.release().to_str().ok().and_then(version);
        if since.is_some_and(|version| version >= LARGE_BLOCKS_SINCE) { LARGEST_BLOCK } else { page.min(LARGEST_BLOCK) }
    }

    fn holders(&self, device: DeviceId) -> Vec<String> {
        holders::of(device)
    }

    fn process(&self, task: u32) -> Option<Process> {
        let status = fs::read_to_string(format!("/proc/{task}/status")).ok()?;
        let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let (name, began) = name_and_begin(&String::from_utf8_lossy(&stat))?;
        Some(Process { pid, name, began })
    }

    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

impl Notices for Events {
    fn next(&mut self) -> Result<Option<Event>, Failure> {
        Self::next(self)
    }
}

/// Two fields of a process's `stat` (see proc(5)): the name in parentheses, which may hold any character, and the
/// twentieth behind it.
fn name_and_begin(stat: &str) -> Option<(String, u64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let began = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((name.escape_debug().to_string(), began))
}

fn attribute_path(device: DeviceId, name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/block/{}/{name}", device.name()))
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

/// On a machine with 32 bits.
fn too_large() -> io::Error {
    Errno::OVERFLOW.into()
}

/// Major and minor number of a kernel's release, such as `6.1.0-32-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{name_and_begin, version};

    #[test]
    fn a_process_may_be_called_anything() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(name_and_begin(&format!("12 (a) (b\n) {fields}")), Some(("a) (b\\n".to_owned(), 4711)));
        assert_eq!(name_and_begin("12 (a) S 1"), None);
        assert_eq!(name_and_begin(""), None);
    }

    #[test]
    fn a_kernels_version_is_read_from_its_release() {
        assert_eq!(version("6.1.0-32-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("6.12.117+deb12-cloud-amd64"), Some((6, 12)));
        assert_eq!(version("odd"), None);
    }
}
