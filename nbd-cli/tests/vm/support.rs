//! An export, and devices made of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use nbd_driver_std::ConnectOptions;
use nbd_driver_std::backend::{Backend, Memory};
use nbd_driver_std::nbd_proto::uri::NbdUri;
use nbd_driver_std::server::{Export, Listener, Running, Server, ServerOptions};
use nbd_kernel::{Attach, Connection, Device, DeviceId, Interface};
use rustix::fs::OFlags;

/// A server of ours in this process, on a Unix socket.
pub(crate) struct Site {
    pub(crate) uri: NbdUri,
    _running: Running,
}

impl Site {
    pub(crate) fn new(backend: impl Backend + 'static) -> Self {
        Self::of(Export::shared("", Arc::new(backend)))
    }

    pub(crate) fn memory(size: u64) -> Self {
        Self::new(Memory::new(size))
    }

    pub(crate) fn of(export: Export) -> Self {
        let listener = Listener::unix("/tmp/site").unwrap();
        let uri = NbdUri::parse(&listener.uri("").unwrap()).unwrap();
        let running = Server::new(ServerOptions::new()).export(export).start([listener]).unwrap();
        Self { uri, _running: running }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.uri, &ConnectOptions::new()).unwrap()
    }

    /// A device with this many connections.
    pub(crate) fn attach(&self, interface: Interface, connections: usize) -> Device {
        let connections: Vec<_> = (0..connections).map(|_| self.connect()).collect();
        Attach::new().interface(interface).attach(connections).unwrap()
    }
}

/// What the kernel shows of a device, without the line's end.
pub(crate) fn attribute(device: &Device, name: &str) -> String {
    shown(device.id(), name)
}

/// The same for a device of another process.
pub(crate) fn shown(device: DeviceId, name: &str) -> String {
    let path = format!("/sys/block/{}/{name}", device.name());
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim_end().to_owned()
}

pub(crate) fn is_attached(device: DeviceId) -> bool {
    Path::new(&format!("/sys/block/{}/pid", device.name())).exists()
}

/// Waits until long writes have filled the socket of a server that hangs: then the kernel waits in the middle of one.
pub(crate) fn until_stuck(device: DeviceId) {
    // In KiB, and more than the socket takes.
    let longest: u64 = shown(device, "queue/max_sectors_kb").parse().unwrap();
    until(|| in_flight(device) * longest >= 256);
}

/// How many requests wait for an answer.
fn in_flight(device: DeviceId) -> u64 {
    shown(device, "inflight").split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap()).sum()
}

/// Looks until it is so; the test's own limit puts an end to it.
pub(crate) fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

pub(crate) fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// Past the page cache: each read and write is a request.
pub(crate) fn open_direct(path: &Path) -> File {
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap()
}

/// What direct I/O wants of memory.
const ALIGNMENT: usize = 4096;

/// Memory that is aligned for direct I/O.
pub(crate) struct Aligned {
    memory: Vec<u8>,
    from: usize,
    length: usize,
}

impl Aligned {
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let from = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, from, length }
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut aligned = Self::new(bytes.len());
        aligned.bytes_mut().copy_from_slice(bytes);
        aligned
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.from..][..self.length]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..][..self.length]
    }
}

/// Reads past the page cache.
pub(crate) fn read_direct(file: &File, length: usize, at: u64) -> io::Result<Vec<u8>> {
    let mut aligned = Aligned::new(length);
    file.read_exact_at(aligned.bytes_mut(), at)?;
    Ok(aligned.bytes().to_vec())
}
