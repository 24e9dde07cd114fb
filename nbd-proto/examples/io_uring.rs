//! The core on io_uring: fills a disk and reads it back, with many commands in flight; the kernel puts payload in place.
//! It wants Linux 5.11 and a server to spoil, such as `nbdkit -f -U /tmp/nbd.sock memory 16M`, and `/tmp/nbd.sock`, or
//! an address and a port, to find it. The handshake is by plain calls, which block; all that follows is in the ring.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "here is the I/O that the core has not")]
#![allow(clippy::disallowed_macros, reason = "a program may print")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::{collections::HashMap, fs::File, net::TcpStream, os::unix::net::UnixStream, process::ExitCode};

use io_uring::{IoUring, opcode, types};
use nbd_proto::error::Ended;
use nbd_proto::handshake::{Connect, ConnectSettings, Flow as _, Status};
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::number::Cookie;
use rustix::net::{Shutdown, shutdown};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
/// A command, and the buffer it works on, which is the connection's own until the command is done.
type Job = (Command, Vec<u8>);
/// What the kernel calls an iovec.
#[repr(C)]
struct Piece(*const u8, usize);

const RECEIVE: usize = 0;
const SEND: usize = 1;

/// Each direction has at most one operation in the ring. While it is busy, the kernel has its pieces and all they point
/// to: heap blocks, which stay where they are when this moves or `jobs` grows.
struct Connection {
    ring: IoUring,
    socket: File,
    client: Client,
    jobs: HashMap<Cookie, Job>,
    busy: [bool; 2],
    pieces: [Vec<Piece>; 2],
    /// Where what follows a payload comes in. Small, since other payload that comes in here has to be copied.
    scratch: Vec<u8>,
    /// A copy: `submit` moves the core's own.
    framing: Vec<Vec<u8>>,
    /// What came and was not used yet.
    input: Vec<u8>,
    /// How many bytes of payload came in place, and how many did not.
    placed: usize,
    copied: usize,
}

fn negotiate(socket: &mut File) -> Result<Client> {
    let (mut flow, mut out) = (Connect::new(ConnectSettings::new("")), Vec::new());
    let (mut input, mut some) = (Vec::new(), [0; 4096]);
    while flow.status() == Status::NeedInput {
        match socket.read(&mut some)? {
            0 => return Err(flow.eof().into()),
            count => input.extend_from_slice(&some[..count]),
        }
        while let consumed @ 1.. = flow.input(&input, &mut out)? {
            input.drain(..consumed);
        }
        socket.write_all(&out)?;
        out.clear();
    }
    Ok(Client::new(flow.finish()?, ClientSettings::default()))
}

fn place(jobs: &mut HashMap<Cookie, Job>, cookie: Cookie, range: std::ops::Range<usize>) -> &mut [u8] {
    jobs.get_mut(&cookie).map_or(&mut [], |(_, buffer)| &mut buffer[range])
}

impl Connection {
    /// Carries all jobs out, as many at a time as the engine takes, and hands each back when it is done.
    fn run(&mut self, mut jobs: impl Iterator<Item = Job>, done: impl Fn(Job)) -> Result<()> {
        loop {
            for (command, buffer) in jobs.by_ref().take(self.client.room()) {
                self.jobs.insert(self.client.submit(command)?, (command, buffer));
            }
            if self.jobs.is_empty() {
                return Ok(());
            }
            self.exchange()?;
            loop {
                let advance = self.client.input(&self.input)?;
                let (consumed, jobs) = (advance.consumed, &mut self.jobs);
                match advance.event {
                    Some(Event::Data { cookie, range, bytes }) => {
                        place(jobs, cookie, range).copy_from_slice(bytes);
                        self.copied += bytes.len();
                    }
                    Some(Event::Hole { cookie, range }) => place(jobs, cookie, range).fill(0),
                    Some(Event::Done { cookie, result }) => {
                        // The only way out for a buffer: the kernel has it no more, unless the connection just ended.
                        if self.client.over().is_some() {
                            self.halt()?;
                        }
                        let job = self.jobs.remove(&cookie);
                        result?;
                        job.into_iter().for_each(&done);
                    }
                    None if consumed == 0 => break,
                    _ => {}
                }
                self.input.drain(..consumed);
            }
        }
    }

    /// Keeps both directions busy, and waits until one of them has moved bytes.
    fn exchange(&mut self) -> Result<()> {
        if !self.busy[RECEIVE] {
            // One operation fills the place where payload belongs, and takes what comes behind it.
            let landing = self.client.landing().map(|landing| place(&mut self.jobs, landing.owner, landing.range));
            self.pieces[RECEIVE] =
                [landing.unwrap_or_default(), &mut self.scratch].map(|it| Piece(it.as_mut_ptr(), it.len())).into();
            self.start(RECEIVE)?;
        }
        if !self.busy[SEND] && self.client.wants_write() {
            self.framing.clear();
            let (framing, jobs) = (&mut self.framing, &self.jobs);
            let piece = |segment| {
                let bytes = match segment {
                    Segment::Framing(bytes) => {
                        framing.push(bytes.to_vec());
                        &framing[framing.len() - 1]
                    }
                    Segment::Payload { owner, range } => &jobs[&owner].1[range],
                };
                Piece(bytes.as_ptr(), bytes.len())
            };
            self.pieces[SEND] = self.client.outbound().take(256).map(piece).collect();
            self.start(SEND)?;
        }
        self.wait()?;
        while let Some((way, result)) = self.finished() {
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.client.give_up(&error.to_string()),
                Ok(count) if way == SEND => self.client.sent(count),
                Ok(0) => self.client.eof(),
                Ok(count) => {
                    let landed = count.min(self.pieces[RECEIVE][0].1);
                    self.client.landed(landed);
                    self.placed += landed;
                    self.input.extend_from_slice(&self.scratch[..count - landed]);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, way: usize) -> Result<()> {
        let (socket, pieces) = (types::Fd(self.socket.as_raw_fd()), &self.pieces[way]);
        let (start, count) = (pieces.as_ptr().cast(), pieces.len() as u32);
        let entry = match way {
            RECEIVE => opcode::Readv::new(socket, start, count).build(),
            _ => opcode::Writev::new(socket, start, count).build(),
        };
        // SAFETY: all that is lent is our own and stays until `finished`: see `run`, `Drop`.
        unsafe { self.ring.submission().push(&entry.user_data(way as u64)) }?;
        self.busy[way] = true;
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let limit = types::Timespec::new().sec(30);
        match self.ring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&limit)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err("the server is silent".into()),
            result => Ok(result.map(drop)?),
        }
    }

    /// An operation that the kernel has finished, and how many bytes it has moved.
    fn finished(&mut self) -> Option<(usize, io::Result<usize>)> {
        let entry = self.ring.completion().next()?;
        let way = entry.user_data() as usize;
        self.busy[way] = false;
        Some((way, usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()))))
    }

    /// Takes everything back from the kernel.
    fn halt(&mut self) -> Result<()> {
        // Ends both operations.
        shutdown(&self.socket, Shutdown::Both).ok();
        while self.busy.contains(&true) {
            self.wait()?;
            while self.finished().is_some() {}
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.halt().is_err() {
            // Better than to free what the kernel may still write to.
            std::process::abort();
        }
    }
}

fn main() -> Result<ExitCode> {
    const BLOCK: u64 = 64 * 1024;
    let ring = match IoUring::new(2) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            eprintln!("there is no io_uring for us: {error}");
            return Ok(ExitCode::from(77));
        }
        ring => ring?,
    };
    let address = std::env::args().nth(1).ok_or("usage: io_uring SOCKET | ADDRESS:PORT")?;
    let socket = match address.parse::<std::net::SocketAddr>() {
        Ok(address) => OwnedFd::from(TcpStream::connect(address)?),
        Err(_) => UnixStream::connect(address)?.into(),
    };
    let mut socket = File::from(socket);
    let client = negotiate(&mut socket)?;
    let size = client.negotiated().info.size;
    let mut connection = Connection {
        ring,
        socket,
        client,
        jobs: HashMap::new(),
        busy: [false; 2],
        pieces: [Vec::new(), Vec::new()],
        scratch: vec![0; 512],
        framing: Vec::new(),
        input: Vec::new(),
        placed: 0,
        copied: 0,
    };
    let mut offsets: Vec<u64> = (0..size / BLOCK).map(|block| block * BLOCK).collect();
    // Each word tells its place and the run.
    let run = fastrand::u64(..);
    let words = |offset| (offset..offset + BLOCK).step_by(8).flat_map(|place: u64| (place ^ run).to_le_bytes());
    let writes = offsets.iter().map(|offset| (Command::write(*offset, BLOCK), words(*offset).collect()));
    connection.run(writes, |_| {})?;
    fastrand::shuffle(&mut offsets);
    let reads = offsets.iter().map(|offset| (Command::read(*offset, BLOCK), vec![0; BLOCK as usize]));
    connection.run(reads, |(command, buffer)| assert!(words(command.offset).eq(buffer), "{command:?}"))?;
    connection.client.disconnect()?;
    while connection.client.over().is_none() {
        connection.exchange()?;
    }
    assert_eq!(connection.client.over(), Some(&Ended::ByUs.into()));
    println!("wrote {0} blocks, read {0} back in another order, and the server has hung up", offsets.len());
    println!("the kernel put {} bytes of payload in place, {} were copied", connection.placed, connection.copied);
    Ok(ExitCode::SUCCESS)
}
