//! A client that does only what a test wants.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One in the middle of things, over a Unix socket.
pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    /// Connects, and waits for the greeting.
    pub(crate) fn greeted(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        Self(stream)
    }

    /// Uses the default export, with simple replies.
    pub(crate) fn connected(socket: &Path) -> Self {
        let mut raw = Self::greeted(socket);
        // Fixed newstyle without zeroes, and NBD_OPT_EXPORT_NAME with an empty name.
        let hello = [&3_u32.to_be_bytes()[..], b"IHAVEOPT", &1_u32.to_be_bytes(), &0_u32.to_be_bytes()].concat();
        raw.0.write_all(&hello).unwrap();
        raw.0.read_exact(&mut [0; 10]).unwrap();
        raw
    }

    /// Asks for bytes from the start of the disk.
    pub(crate) fn ask(&mut self, length: u32) {
        let magic = 0x2560_9513_u32.to_be_bytes();
        let request = [&magic[..], &[0; 4], &7_u64.to_be_bytes(), &0_u64.to_be_bytes(), &length.to_be_bytes()].concat();
        self.0.write_all(&request).unwrap();
    }

    /// Waits for the header of a simple reply that means success, and reads nothing behind it.
    pub(crate) fn answered(&mut self) {
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..8], [&0x6744_6698_u32.to_be_bytes()[..], &[0; 4]].concat());
    }

    /// Waits until the server has hung up.
    pub(crate) fn hung_up(mut self) {
        let mut rest = Vec::new();
        // Whatever came before, and in whatever way it ended.
        let _ = self.0.read_to_end(&mut rest);
    }
}
