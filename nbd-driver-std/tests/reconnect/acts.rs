//! A server in a thread of the test, with an act for each connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use nbd_testkit::{PATIENCE, oldstyle_greeting};
use tempfile::TempDir;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
pub(crate) const FLUSH: u16 = 3;

const SIZE: u64 = 1 << 16;
/// Has flags, flush, FUA, trim, write zeroes.
const FLAGS: u32 = 0b110_1101;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    cookie: [u8; 8],
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Request {
    pub(crate) fn what(&self) -> (u16, u64) {
        (self.kind, self.offset)
    }
}

/// One connection of a client, greeted.
pub(crate) struct Act(UnixStream);

impl Act {
    pub(crate) fn request(&mut self) -> Request {
        let mut header = [0; 28];
        self.0.read_exact(&mut header).unwrap();
        let request = Request {
            kind: u16::from_be_bytes(header[6..8].try_into().unwrap()),
            cookie: header[8..16].try_into().unwrap(),
            offset: u64::from_be_bytes(header[16..24].try_into().unwrap()),
            length: u32::from_be_bytes(header[24..].try_into().unwrap()) as usize,
        };
        if request.kind == WRITE {
            self.0.read_exact(&mut vec![0; request.length]).unwrap();
        }
        request
    }

    pub(crate) fn expect(&mut self, kind: u16, offset: u64) -> Request {
        let request = self.request();
        assert_eq!(request.what(), (kind, offset));
        request
    }

    /// A reply; a read that succeeds brings `fill`.
    pub(crate) fn reply(&mut self, request: &Request, error: u32, fill: u8) {
        let mut reply = 0x6744_6698_u32.to_be_bytes().to_vec();
        reply.extend(error.to_be_bytes());
        reply.extend(request.cookie);
        if request.kind == READ && error == 0 {
            reply.extend(vec![fill; request.length]);
        }
        self.0.write_all(&reply).unwrap();
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Waits until the client has hung up, whatever it says before.
    pub(crate) fn gone(&mut self) {
        // However it ends.
        let _ = self.0.read_to_end(&mut Vec::new());
    }

    /// The request that a client sends last.
    pub(crate) fn goodbye(&mut self) {
        assert_eq!(self.request().kind, DISC);
    }
}

pub(crate) struct Play {
    dir: TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Play {
    /// Plays an act for each connection, by its number from 0, until it says that it was the last.
    pub(crate) fn new(act: impl FnMut(usize, &mut Act) -> bool + Send + 'static) -> Self {
        Self::with_flags(FLAGS, act)
    }

    /// The same with other transmission flags.
    pub(crate) fn with_flags(flags: u32, mut act: impl FnMut(usize, &mut Act) -> bool + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let thread = thread::spawn(move || {
            let mut number = 0;
            loop {
                let mut stream = listener.accept().unwrap().0;
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(&oldstyle_greeting(SIZE, flags)).unwrap();
                if !act(number, &mut Act(stream)) {
                    break;
                }
                number += 1;
            }
        });
        Self { dir, thread: Some(thread) }
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.dir.path().join("socket").display())
    }

    /// The last act is over, and nothing was wrong in any.
    pub(crate) fn end(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}
