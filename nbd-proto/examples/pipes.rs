//! The core over a pair of pipes: starts a server that speaks NBD on its standard input and output, and uses it.
//! Its arguments are the server's command line, for example `nbdkit -s memory 1M`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "here is the I/O that the core has not")]
#![allow(clippy::disallowed_macros, reason = "a program may print")]

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSliceMut, Read as _, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};

use nbd_proto::error::Ended;
use nbd_proto::handshake::{Connect, ConnectSettings, Flow as _, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::number::Cookie;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{ioctl_fionbio, retry_on_intr};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A pair of pipes, neither of which is ever waited for alone: each holds some 64 KiB, and while we wait to write more,
/// the server may wait for us to read. Two threads would have to share the engine, and a lock that is held while a pipe
/// is full brings the same wait back.
struct Pipes {
    outgoing: ChildStdin,
    incoming: ChildStdout,
}

/// Waits until one of the pipes is ready; that to the server mostly is, so it counts only if there is something for it.
fn wait(pipes: &Pipes, wants_write: bool) -> Result<()> {
    let mut fds = [PollFd::new(&pipes.incoming, PollFlags::IN), PollFd::new(&pipes.outgoing, PollFlags::OUT)];
    let fds = &mut fds[..if wants_write { 2 } else { 1 }];
    let ready = retry_on_intr(|| poll(fds, Some(&Timespec { tv_sec: 30, tv_nsec: 0 })))?;
    if ready > 0 { Ok(()) } else { Err("the server is silent".into()) }
}

/// `None` if the pipe was not ready.
fn now(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}

fn negotiate(pipes: &mut Pipes) -> Result<Client> {
    let (mut flow, mut out) = (Connect::new(ConnectSettings::new("")), Vec::new());
    let (mut input, mut some) = (Vec::new(), [0; 4096]);
    while flow.status() == Status::NeedInput {
        wait(pipes, !out.is_empty())?;
        match now(pipes.incoming.read(&mut some))? {
            Some(0) => return Err(flow.eof().into()),
            count => input.extend_from_slice(&some[..count.unwrap_or(0)]),
        }
        while let consumed @ 1.. = flow.input(&input, &mut out)? {
            input.drain(..consumed);
        }
        out.drain(..now(pipes.outgoing.write(&out))?.unwrap_or(0));
    }
    Ok(Client::new(flow.finish()?, ClientSettings::default()))
}

struct Connection {
    pipes: Pipes,
    client: Client,
    input: Vec<u8>,
    buffers: HashMap<Cookie, Vec<u8>>,
}

impl Connection {
    fn submit(&mut self, command: Command, buffer: Vec<u8>) -> Result<Cookie> {
        let cookie = self.client.submit(command)?;
        self.buffers.insert(cookie, buffer);
        Ok(cookie)
    }

    /// Goes on until all commands are done.
    fn settle(&mut self) -> Result<()> {
        while self.client.in_flight() > 0 {
            let advance = self.client.input(&self.input)?;
            let (consumed, buffers) = (advance.consumed, &mut self.buffers);
            match advance.event {
                Some(Event::Data { cookie, range, bytes }) => place(buffers, cookie, range).copy_from_slice(bytes),
                Some(Event::Hole { cookie, range }) => place(buffers, cookie, range).fill(0),
                Some(Event::Done { result, .. }) => result?,
                None if consumed == 0 => self.exchange()?,
                _ => {}
            }
            self.input.drain(..consumed);
        }
        Ok(())
    }

    /// Moves some bytes each way.
    fn exchange(&mut self) -> Result<()> {
        wait(&self.pipes, self.client.wants_write())?;
        // One system call fills the place where payload belongs, and takes what comes behind it.
        let landing = self.client.landing().map(|landing| place(&mut self.buffers, landing.owner, landing.range));
        let (landing, mut behind) = (landing.unwrap_or_default(), [0; MIN_INPUT_BUFFER]);
        let length = landing.len();
        let pieces = &mut [IoSliceMut::new(landing), IoSliceMut::new(&mut behind)];
        let received = now(self.pipes.incoming.read_vectored(pieces))?;
        if received == Some(0) {
            self.client.eof();
        }
        let count = received.unwrap_or(0);
        self.client.landed(count.min(length));
        self.input.extend_from_slice(&behind[..count.saturating_sub(length)]);
        let sent = match self.client.outbound().next() {
            Some(Segment::Framing(bytes)) => now(self.pipes.outgoing.write(bytes))?,
            Some(Segment::Payload { owner, range }) => now(self.pipes.outgoing.write(&self.buffers[&owner][range]))?,
            None => None,
        };
        self.client.sent(sent.unwrap_or(0));
        Ok(())
    }
}

fn place(buffers: &mut HashMap<Cookie, Vec<u8>>, cookie: Cookie, range: std::ops::Range<usize>) -> &mut [u8] {
    buffers.get_mut(&cookie).map_or(&mut [], |buffer| &mut buffer[range])
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let mut server = std::process::Command::new(args.next().ok_or("usage: pipes COMMAND ARGS…")?);
    let mut server = server.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (outgoing, incoming) = server.stdin.take().zip(server.stdout.take()).ok_or("no pipes")?;
    // Only our ends stop blocking: those of the server are files of their own.
    ioctl_fionbio(&outgoing, true)?;
    ioctl_fionbio(&incoming, true)?;
    let mut pipes = Pipes { outgoing, incoming };
    let client = negotiate(&mut pipes)?;
    let mut connection = Connection { pipes, client, input: Vec::new(), buffers: HashMap::new() };
    let half = connection.client.negotiated().info.size.min(2 << 20) / 2;
    let block: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(half as usize).collect();
    connection.submit(Command::write(0, half), block.clone())?;
    connection.settle()?;
    // Now both pipes get full: the server answers the read while the write is still on its way.
    let read = connection.submit(Command::read(0, half), vec![0; block.len()])?;
    connection.submit(Command::write(half, half), block.clone())?;
    connection.settle()?;
    assert!(connection.buffers[&read] == block, "not what was written");
    println!("wrote {half} bytes, and read them back while writing as many more");
    connection.client.disconnect()?;
    while connection.client.over().is_none() {
        connection.exchange()?;
    }
    assert_eq!(connection.client.over(), Some(&Ended::ByUs.into()));
    println!("the server has ended: {}", server.wait()?);
    Ok(())
}
