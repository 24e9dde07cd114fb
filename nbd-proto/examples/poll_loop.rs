//! The core in a plain `poll(2)` loop on one thread: fills a disk and reads it back, with many commands in flight.
//! It wants a server to spoil, such as `nbdkit -f -i 127.0.0.1 -p 10809 memory 16M`, and `127.0.0.1:10809` to find it.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "here is the I/O that the core has not")]
#![allow(clippy::disallowed_macros, reason = "a program may print")]

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use nbd_proto::error::Ended;
use nbd_proto::handshake::{Connect, ConnectSettings, Flow as _, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::number::Cookie;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SocketAddrAny, SocketFlags, SocketType, connect, socket_with};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A command, and the buffer it works on, which is the connection's own until the command is done.
type Job = (Command, Vec<u8>);

struct Connection {
    socket: TcpStream,
    /// What came and was not used yet.
    input: Vec<u8>,
    client: Client,
    jobs: HashMap<Cookie, Job>,
}

/// Waits until there is room to write, if that is wanted, or something to read. To read is wanted always: a server may
/// take nothing more until what it has said is read.
fn wait(socket: &TcpStream, wants_write: bool) -> Result<()> {
    let events = if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(socket, events)], Some(&limit)))?;
    if ready > 0 { Ok(()) } else { Err("the server is silent".into()) }
}

/// `None` if the socket was not ready.
fn now(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}

fn open(address: SocketAddr, export: &str) -> Result<Connection> {
    let (address, flags) = (SocketAddrAny::from(address), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
    let socket = socket_with(address.address_family(), SocketType::STREAM, flags, None)?;
    // It goes on while the loop waits for the server's first bytes; reading tells if it failed.
    connect(&socket, &address).or_else(|error| if error == Errno::INPROGRESS { Ok(()) } else { Err(error) })?;
    let (mut socket, mut input, mut some) = (TcpStream::from(socket), Vec::new(), [0; 4096]);
    let (mut flow, mut out) = (Connect::new(ConnectSettings::new(export)), Vec::new());
    while flow.status() == Status::NeedInput {
        wait(&socket, !out.is_empty())?;
        match now(socket.read(&mut some))? {
            Some(0) => return Err(flow.eof().into()),
            count => input.extend_from_slice(&some[..count.unwrap_or(0)]),
        }
        while let consumed @ 1.. = flow.input(&input, &mut out)? {
            input.drain(..consumed);
        }
        out.drain(..now(socket.write(&out))?.unwrap_or(0));
    }
    let client = Client::new(flow.finish()?, ClientSettings::default());
    Ok(Connection { socket, input, client, jobs: HashMap::new() })
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
                    Some(Event::Data { cookie, range, bytes }) => place(jobs, cookie, range).copy_from_slice(bytes),
                    Some(Event::Hole { cookie, range }) => place(jobs, cookie, range).fill(0),
                    Some(Event::Done { cookie, result }) => {
                        result?;
                        jobs.remove(&cookie).into_iter().for_each(&done);
                    }
                    None if consumed == 0 => break,
                    _ => {}
                }
                self.input.drain(..consumed);
            }
        }
    }

    /// Moves bytes both ways, as far as that goes without waiting for one of them.
    fn exchange(&mut self) -> Result<()> {
        wait(&self.socket, self.client.wants_write())?;
        // One system call fills the place where payload belongs, and takes what comes behind it.
        let landing = self.client.landing().map(|landing| place(&mut self.jobs, landing.owner, landing.range));
        let (landing, mut behind) = (landing.unwrap_or_default(), [0; MIN_INPUT_BUFFER]);
        let length = landing.len();
        let received = now(self.socket.read_vectored(&mut [IoSliceMut::new(landing), IoSliceMut::new(&mut behind)]))?;
        if received == Some(0) {
            self.client.eof();
        }
        let count = received.unwrap_or(0);
        self.client.landed(count.min(length));
        self.input.extend_from_slice(&behind[..count.saturating_sub(length)]);
        // Framing of the core's and payload of ours leave together.
        let pieces = self.client.outbound().map(|segment| match segment {
            Segment::Framing(bytes) => IoSlice::new(bytes),
            Segment::Payload { owner, range } => IoSlice::new(&self.jobs[&owner].1[range]),
        });
        self.client.sent(now(self.socket.write_vectored(&pieces.collect::<Vec<_>>()))?.unwrap_or(0));
        Ok(())
    }
}

fn main() -> Result<()> {
    const BLOCK: u64 = 64 * 1024;
    let address = std::env::args().nth(1).ok_or("usage: poll_loop ADDRESS:PORT [EXPORT]")?.parse()?;
    let mut connection = open(address, &std::env::args().nth(2).unwrap_or_default())?;
    let size = connection.client.negotiated().info.size;
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
    Ok(())
}
