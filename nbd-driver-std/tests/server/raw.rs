//! A client made of bytes, for what ours does not do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::HANG;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
pub(crate) const BLOCK_STATUS: u16 = 7;

pub(crate) const OPT_EXPORT_NAME: u32 = 1;
pub(crate) const OPT_ABORT: u32 = 2;
pub(crate) const OPT_LIST: u32 = 3;
pub(crate) const OPT_GO: u32 = 7;
pub(crate) const OPT_STRUCTURED_REPLY: u32 = 8;
pub(crate) const OPT_SET_META_CONTEXT: u32 = 10;

pub(crate) const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_META_CONTEXT: u32 = 4;
pub(crate) const ERR_POLICY: u32 = 0x8000_0002;
pub(crate) const ERR_UNKNOWN: u32 = 0x8000_0006;

pub(crate) struct Raw(pub(crate) UnixStream);

/// A structured reply chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) last: bool,
    pub(crate) kind: u16,
    pub(crate) cookie: u64,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// Connects, and says nothing.
    pub(crate) fn connect(path: &Path) -> Self {
        Self::given(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn given(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(HANG)).unwrap();
        socket.set_write_timeout(Some(HANG)).unwrap();
        Self(socket)
    }

    /// Connects, and answers the greeting.
    pub(crate) fn greeted(path: &Path) -> Self {
        let mut raw = Self::connect(path);
        raw.greet();
        raw
    }

    pub(crate) fn greet(&mut self) {
        let greeting: [u8; 18] = self.bytes();
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        self.send(&3u32.to_be_bytes());
    }

    /// Connects, and is about to use the export `disk`, with simple replies.
    pub(crate) fn simple(path: &Path) -> Self {
        let mut raw = Self::greeted(path);
        raw.go("disk").unwrap();
        raw
    }

    /// Connects, and agrees on structured replies.
    pub(crate) fn with_replies_in_chunks(path: &Path) -> Self {
        let mut raw = Self::greeted(path);
        raw.option(OPT_STRUCTURED_REPLY, &[]);
        assert_eq!(raw.option_reply(), (REP_ACK, Vec::new()));
        raw
    }

    /// Is about to use the export `disk` with structured replies.
    pub(crate) fn structured(path: &Path) -> Self {
        let mut raw = Self::with_replies_in_chunks(path);
        raw.go("disk").unwrap();
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn many(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The server has hung up, and said nothing before.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.0.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the server has not hung up: {other:?}"),
        }
    }

    /// Whether there is room to send something within this time. For no more than a chance to be given.
    pub(crate) fn takes_within(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::try_from(patience).unwrap())).unwrap() > 0
    }

    pub(crate) fn option(&mut self, option: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap();
        self.send(&[b"IHAVEOPT", &option.to_be_bytes()[..], &length.to_be_bytes(), payload].concat());
    }

    /// The type and the payload of the next reply to an option.
    pub(crate) fn option_reply(&mut self) -> (u32, Vec<u8>) {
        assert_eq!(u64::from_be_bytes(self.bytes()), 0x0003_e889_0455_65a9);
        let _option: [u8; 4] = self.bytes();
        let kind = u32::from_be_bytes(self.bytes());
        let length = u32::from_be_bytes(self.bytes());
        (kind, self.many(length as usize))
    }

    /// Asks for an export. Errors with the reply and its words.
    pub(crate) fn go(&mut self, name: &str) -> Result<(), (u32, String)> {
        self.option(OPT_GO, &[&string(name)[..], &[0, 0]].concat());
        self.acknowledged(REP_INFO)
    }

    /// Asks for one metadata context of an export. Errors with the reply and its words.
    pub(crate) fn set_context(&mut self, export: &str, context: &str) -> Result<(), (u32, String)> {
        let one = 1u32.to_be_bytes();
        self.option(OPT_SET_META_CONTEXT, &[&string(export)[..], &one, &string(context)].concat());
        self.acknowledged(REP_META_CONTEXT)
    }

    /// Waits for the end of an answer, in which there may be replies of one type.
    fn acknowledged(&mut self, within: u32) -> Result<(), (u32, String)> {
        loop {
            match self.option_reply() {
                (REP_ACK, _) => return Ok(()),
                (kind, _) if kind == within => {}
                (error, text) => return Err((error, String::from_utf8(text).unwrap())),
            }
        }
    }

    pub(crate) fn request(&mut self, command: u16, cookie: u64, offset: u64, length: u32) {
        self.send(&request(command, cookie, offset, length));
    }

    /// The error and the cookie of the next simple reply.
    pub(crate) fn simple_reply(&mut self) -> (u32, u64) {
        assert_eq!(u32::from_be_bytes(self.bytes()), 0x6744_6698);
        (u32::from_be_bytes(self.bytes()), u64::from_be_bytes(self.bytes()))
    }

    pub(crate) fn chunk(&mut self) -> Chunk {
        assert_eq!(u32::from_be_bytes(self.bytes()), 0x668e_33ef);
        let last = u16::from_be_bytes(self.bytes()) & 1 != 0;
        let kind = u16::from_be_bytes(self.bytes());
        let cookie = u64::from_be_bytes(self.bytes());
        let length = u32::from_be_bytes(self.bytes());
        Chunk { last, kind, cookie, payload: self.many(length as usize) }
    }
}

/// A string behind its length.
fn string(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// A compact request without payload.
pub(crate) fn request(command: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    [
        &0x2560_9513_u32.to_be_bytes()[..],
        &[0, 0],
        &command.to_be_bytes(),
        &cookie.to_be_bytes(),
        &offset.to_be_bytes(),
        &length.to_be_bytes(),
    ]
    .concat()
}
