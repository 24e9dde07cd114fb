//! The file of a Unix socket: made, and removed if it is still the same.

use std::fs::{self, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

/// The longest path that a Unix socket can have, in bytes (unix(7)).
const LONGEST: usize = 107;

/// How often the lock of a directory is tried.
const LOCK_ATTEMPTS: usize = 500;

/// How long after an attempt the next one is made. Others hold the lock for much less.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Removes its file when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Makes a listening socket at this path. What nobody listens on any more is replaced.
    pub(super) fn bind(path: &Path, backlog: i32) -> Result<(OwnedFd, Self)> {
        let length = path.as_os_str().as_bytes().len();
        if length == 0 || length > LONGEST {
            let message = format!("the path has {length} bytes, and the system takes 1 to {LONGEST}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let address = SocketAddrUnix::new(path)?;
        let _lock = lock(path);
        make_room(path, &address)?;
        let socket = stream_socket()?;
        bind(&socket, &address)?;
        let file = Self { path: std::path::absolute(path)?, identity: identity(&fs::symlink_metadata(path)?) };
        listen(&socket, backlog)?;
        Ok((socket, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| identity(&now) == self.identity) {
            // If it cannot be removed, the next server finds that nobody listens there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(super) fn stream_socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// Keeps other servers from looking after sockets in the same directory until dropped: one that was bound and does not
/// listen yet looks like one left behind, and one left behind may have been replaced since it was looked at.
///
/// `None` where this cannot be had. Whoever may read the directory can hold its lock for ever, so it is not waited for
/// long.
fn lock(path: &Path) -> Option<OwnedFd> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = fs::File::open(directory).ok()?;
    for _ in 0..LOCK_ATTEMPTS {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory.into()),
            Err(Errno::AGAIN | Errno::INTR) => thread::sleep(LOCK_PAUSE),
            Err(_) => return None,
        }
    }
    None
}

/// Removes a socket that nobody listens on. Anything else that is there is an error.
fn make_room(path: &Path, address: &SocketAddrUnix) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    match connect(stream_socket()?, address) {
        Err(Errno::CONNREFUSED) => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Err(Errno::NOENT) => Ok(()),
        // A full backlog, or a socket of another kind, is somebody at work as well.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            Err(Error::new(ErrorKind::AddrInUse, "a server is at work there"))
        }
        Err(error) => Err(error.into()),
    }
}
