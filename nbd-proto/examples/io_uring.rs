//! The core on `io_uring`: fills a disk and reads it back, many commands in flight; the kernel puts payload in place.
//! It wants a server to spoil, such as `nbdkit -f -U /tmp/nbd.sock memory 16M`, and its URI. The handshake is left to the
//! blocking driver; all that follows is in the ring, with no time limit.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros, reason = "here is the I/O")]

use std::{collections::HashMap, io::Error, os::fd::AsRawFd as _, os::fd::OwnedFd};

use io_uring::{IoUring, opcode::Readv, opcode::Writev, types::Fd};
use nbd_driver_std::ConnectOptions;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::number::Cookie;
use rustix::{io::Errno, io::retry_on_intr, net::Shutdown, net::shutdown};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Job = (Command, Vec<u8>);
/// What the kernel calls an iovec.
#[repr(C)]
struct Piece(*const u8, usize);
const RECEIVE: usize = 0;
const SEND: usize = 1;

struct Connection {
    ring: IoUring,
    socket: OwnedFd,
    client: Client,
    jobs: HashMap<Cookie, Job>,
    /// What the kernel has, at most one operation each way. It, and all it points to, is in blocks of the heap, which
    /// stay where they are when this moves or `jobs` grows.
    lent: [Option<Vec<Piece>>; 2],
    /// Copies: the core's own moves when a command is submitted.
    framing: Vec<Vec<u8>>,
    /// Takes what comes behind payload. Small, because other payload that gets here has to be copied.
    scratch: Vec<u8>,
    input: Vec<u8>,
    placed: usize,
}

fn place(jobs: &mut HashMap<Cookie, Job>, cookie: Cookie, range: std::ops::Range<usize>) -> &mut [u8] {
    jobs.get_mut(&cookie).map_or(&mut [], |(_, buffer)| &mut buffer[range])
}

impl Connection {
    /// Carries all jobs out, as many at a time as the engine takes, and hands each back when it is done.
    fn run(&mut self, mut todo: impl Iterator<Item = Job>, done: impl Fn(Job)) -> Result<()> {
        loop {
            for (command, buffer) in todo.by_ref().take(self.client.room()) {
                self.jobs.insert(self.client.submit(command)?, (command, buffer));
            }
            let false = self.jobs.is_empty() else { return Ok(()) };
            let advance = self.client.input(&self.input)?;
            let (consumed, jobs) = (advance.consumed, &mut self.jobs);
            match advance.event {
                Some(Event::Data { cookie, range, bytes }) => place(jobs, cookie, range).copy_from_slice(bytes),
                Some(Event::Hole { cookie, range }) => place(jobs, cookie, range).fill(0),
                // What failed is left to `drop`: the connection may be over while the kernel still has the buffer.
                Some(Event::Done { cookie, result }) => drop(result.map(|()| jobs.remove(&cookie).map(&done))?),
                None if consumed == 0 => self.exchange()?,
                _ => {}
            }
            self.input.drain(..consumed);
        }
    }

    /// Keeps both directions busy, and waits until bytes have moved in one.
    fn exchange(&mut self) -> Result<()> {
        if self.lent[RECEIVE].is_none() {
            let landing = self.client.landing().map(|landing| place(&mut self.jobs, landing.owner, landing.range));
            let places = [landing.unwrap_or_default(), &mut self.scratch];
            let pieces = places.map(|place| Piece(place.as_mut_ptr(), place.len()));
            self.lend(RECEIVE, pieces.into())?;
        }
        if self.lent[SEND].is_none() && self.client.wants_write() {
            self.framing.clear();
            let pieces = self.client.outbound().take(256).map(|segment| match segment {
                Segment::Framing(bytes) => {
                    self.framing.push(bytes.to_vec());
                    Piece(self.framing[self.framing.len() - 1].as_ptr(), bytes.len())
                }
                Segment::Payload { owner, range } => Piece(self.jobs[&owner].1[range.clone()].as_ptr(), range.len()),
            });
            let pieces = pieces.collect();
            self.lend(SEND, pieces)?;
        }
        let (way, pieces, result) = self.wait()?;
        match usize::try_from(result).map_err(|_| Error::from_raw_os_error(-result))? {
            count if way == SEND => self.client.sent(count),
            0 => self.client.eof(),
            count => {
                let landed = count.min(pieces[0].1);
                self.client.landed(landed);
                self.placed += landed;
                self.input.extend_from_slice(&self.scratch[..count - landed]);
            }
        }
        Ok(())
    }

    fn lend(&mut self, way: usize, pieces: Vec<Piece>) -> Result<()> {
        let (fd, start, count) = (Fd(self.socket.as_raw_fd()), pieces.as_ptr().cast(), pieces.len() as u32);
        let (readv, writev) = (Readv::new(fd, start, count).build(), Writev::new(fd, start, count).build());
        let entry = if way == SEND { writev } else { readv };
        // SAFETY: the pieces and all they point to are in `lent`, `framing`, `scratch` and `jobs`. Nobody moves, frees
        // or uses them before `wait` has them back: not the engine, whose `Done` comes later, and not `drop`.
        unsafe { self.ring.submission().push(&entry.user_data(way as u64)) }?;
        self.lent[way] = Some(pieces);
        Ok(())
    }

    /// Waits for the kernel to be done with one way: which, its pieces, and how many bytes, or minus the error.
    fn wait(&mut self) -> Result<(usize, Vec<Piece>, i32)> {
        let errno = |error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        retry_on_intr(|| self.ring.submit_and_wait(1).map_err(errno))?;
        let entry = self.ring.completion().next().ok_or("nothing is done, though it was waited for")?;
        let way = entry.user_data() as usize;
        Ok((way, self.lent[way].take().unwrap_or_default(), entry.result()))
    }
}

impl Drop for Connection {
    /// Ends what the kernel still has to do, and waits for that: it must not write to memory that is free.
    fn drop(&mut self) {
        shutdown(&self.socket, Shutdown::Both).ok();
        while self.lent.iter().any(Option::is_some) {
            drop(self.wait().unwrap_or_else(|_| std::process::abort()));
        }
    }
}

fn main() -> Result<()> {
    const BLOCK: u64 = 64 * 1024;
    let ring = IoUring::new(2).map_err(|error| format!("io_uring cannot be had: {error}"))?;
    let it = ConnectOptions::new().negotiate(&std::env::args().nth(1).ok_or("usage: io_uring URI")?)?;
    let (client, jobs) = (Client::new(it.negotiated, ClientSettings::default()), HashMap::new());
    let (lent, framing, scratch, socket, input) = ([None, None], Vec::new(), vec![0; 512], it.socket, it.unread);
    let mut connection = Connection { ring, socket, client, jobs, lent, framing, scratch, input, placed: 0 };
    let offsets: Vec<u64> = (0..connection.client.negotiated().info.size / BLOCK).map(|it| it * BLOCK).collect();
    let run = fastrand::u64(..);
    let words = |offset| (offset..offset + BLOCK).step_by(8).flat_map(|place: u64| (place ^ run).to_le_bytes());
    let writes = offsets.iter().map(|offset| (Command::write(*offset, BLOCK), words(*offset).collect()));
    connection.run(writes, |_| {})?;
    let reads = offsets.iter().map(|offset| (Command::read(*offset, BLOCK), vec![0; BLOCK as usize]));
    connection.run(reads, |(command, buffer)| assert!(words(command.offset).eq(buffer), "{command:?}"))?;
    connection.client.disconnect()?;
    while connection.client.over().is_none() {
        connection.exchange()?;
    }
    println!("wrote {0} blocks and read them back, {1} bytes of them in place", offsets.len(), connection.placed);
    Ok(())
}
