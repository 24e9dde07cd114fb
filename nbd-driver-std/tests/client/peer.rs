//! A server in a thread of the test, for what no real server does on demand.

use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nbd_testkit::{PATIENCE, newstyle_greeting, oldstyle_greeting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::driver::{Client, ConnectOptions};

/// Transmission flags: all that goes with simple replies.
pub(crate) const ALL: u16 = 0b1100_0110_1101;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) data: Vec<u8>,
}

impl Request {
    pub(crate) fn range(&self) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap();
        start..start + usize::try_from(self.length).unwrap()
    }
}

/// What a server says of itself in a newstyle handshake.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) flags: u16,
    /// Minimum, preferred, maximum.
    pub(crate) block_sizes: Option<[u32; 3]>,
    pub(crate) structured: bool,
    /// Its metadata contexts; their ids count from 1. Each client gets them all.
    pub(crate) contexts: &'static [&'static str],
}

/// The server's side of a connection.
pub(crate) struct Peer(pub(crate) UnixStream);

/// A client, connected by an oldstyle handshake, and the thread that serves it.
pub(crate) fn oldstyle(
    options: &ConnectOptions,
    size: u64,
    flags: u16,
    serve: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Client, JoinHandle<()>) {
    start(options, move |peer| {
        peer.0.write_all(&oldstyle_greeting(size, flags.into())).unwrap();
        serve(peer);
    })
}

/// The same by a newstyle handshake.
pub(crate) fn newstyle(
    options: &ConnectOptions,
    facts: Facts,
    serve: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Client, JoinHandle<()>) {
    start(options, move |peer| {
        peer.haggle(&facts);
        serve(peer);
    })
}

fn start(options: &ConnectOptions, serve: impl FnOnce(&mut Peer) + Send + 'static) -> (Client, JoinHandle<()>) {
    let (client, server) = UnixStream::pair().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.set_write_timeout(Some(PATIENCE)).unwrap();
    let server = thread::spawn(move || serve(&mut Peer(server)));
    (options.connect_fd(client, "").unwrap(), server)
}

impl Peer {
    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn haggle(&mut self, facts: &Facts) {
        self.0.write_all(&newstyle_greeting(3)).unwrap();
        let _client_flags: [u8; 4] = self.number();
        loop {
            assert_eq!(u64::from_be_bytes(self.number()), OPTION_MAGIC);
            let option = u32::from_be_bytes(self.number());
            let mut payload = vec![0; u32::from_be_bytes(self.number()) as usize];
            self.0.read_exact(&mut payload).unwrap();
            match option {
                7 => break self.go(facts),
                8 if facts.structured => self.option_reply(option, 1, &[]),
                10 if facts.structured => {
                    for (id, name) in (1u32..).zip(facts.contexts) {
                        self.option_reply(option, 4, &[&id.to_be_bytes(), name.as_bytes()].concat());
                    }
                    self.option_reply(option, 1, &[]);
                }
                _ => self.option_reply(option, 0x8000_0001, &[]),
            }
        }
    }

    fn go(&mut self, facts: &Facts) {
        let flags = facts.flags.to_be_bytes();
        self.option_reply(7, 3, &[&[0, 0], &facts.size.to_be_bytes()[..], &flags].concat());
        if let Some(sizes) = facts.block_sizes {
            let sizes = sizes.map(u32::to_be_bytes).concat();
            self.option_reply(7, 3, &[&[0, 3], &sizes[..]].concat());
        }
        self.option_reply(7, 1, &[]);
    }

    fn option_reply(&mut self, option: u32, kind: u32, payload: &[u8]) {
        let header = [
            &OPTION_REPLY_MAGIC.to_be_bytes()[..],
            &option.to_be_bytes(),
            &kind.to_be_bytes(),
            &u32::try_from(payload.len()).unwrap().to_be_bytes(),
        ];
        self.0.write_all(&[&header.concat(), payload].concat()).unwrap();
    }

    /// The next request; `None` when the client has hung up.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let mut header = [0; 28];
        match self.0.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            Err(error) => panic!("waiting for a request: {error}"),
        }
        let number = |range: Range<usize>| header[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        assert_eq!(number(0..4), 0x2560_9513, "not the magic number of a request");
        let mut request = Request {
            flags: number(4..6) as u16,
            kind: number(6..8) as u16,
            cookie: number(8..16),
            offset: number(16..24),
            length: number(24..28) as u32,
            data: Vec::new(),
        };
        if request.kind == WRITE {
            request.data.resize(request.length as usize, 0);
            self.0.read_exact(&mut request.data).ok()?;
        }
        Some(request)
    }

    /// Whether a request comes, or the end, within this time. For no more than a chance to be given.
    pub(crate) fn comes_within(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::try_from(patience).unwrap())).unwrap() > 0
    }

    /// A request that has to come.
    pub(crate) fn expect(&mut self, kind: u16) -> Request {
        let request = self.request().expect("the client hung up");
        assert_eq!(request.kind, kind, "{request:?}");
        request
    }

    /// The client says goodbye, and that is all.
    pub(crate) fn expect_goodbye(&mut self) {
        self.expect(DISC);
        assert_eq!(self.request(), None);
    }

    /// Sends a simple reply. A client that has gone is no trouble.
    pub(crate) fn reply(&mut self, request: &Request, error: u32, data: &[u8]) {
        let header = [&0x6744_6698_u32.to_be_bytes()[..], &error.to_be_bytes(), &request.cookie.to_be_bytes()];
        self.send(&[&header.concat(), data].concat());
    }

    /// Sends a structured reply chunk.
    pub(crate) fn chunk(&mut self, request: &Request, last: bool, kind: u16, payload: &[u8]) {
        let header = [
            &0x668e_33ef_u32.to_be_bytes()[..],
            &u16::from(last).to_be_bytes(),
            &kind.to_be_bytes(),
            &request.cookie.to_be_bytes(),
            &u32::try_from(payload.len()).unwrap().to_be_bytes(),
        ];
        self.send(&[&header.concat(), payload].concat());
    }

    fn send(&mut self, bytes: &[u8]) {
        match self.0.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("sending a reply: {error}")
            }
            _ => {}
        }
    }

    /// Does what a request asks for, to a disk in memory.
    pub(crate) fn perform(&mut self, request: &Request, disk: &mut [u8]) {
        match request.kind {
            READ => self.reply(request, 0, &disk[request.range()]),
            WRITE => {
                disk[request.range()].copy_from_slice(&request.data);
                self.reply(request, 0, &[]);
            }
            _ => self.reply(request, 0, &[]),
        }
    }

    /// Serves a disk in memory until the client says goodbye.
    pub(crate) fn serve(&mut self, mut disk: Vec<u8>) {
        while let Some(request) = self.request().filter(|request| request.kind != DISC) {
            self.perform(&request, &mut disk);
        }
    }
}
