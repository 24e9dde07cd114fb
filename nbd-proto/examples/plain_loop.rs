//! The core in a plain, blocking loop over a socket: connects, writes a block, reads it back.
//!
//! ```sh
//! nbdkit -f -U /tmp/nbd.sock memory 1M &
//! cargo run -p nbd-proto --example plain_loop /tmp/nbd.sock
//! ```
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "here is the I/O that the core has not")]
#![allow(clippy::disallowed_macros, reason = "a program may print")]

use std::error::Error;
use std::io::{IoSlice, Read, Write};
use std::os::unix::net::UnixStream;

use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, Status};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};

/// A connection: the core, a socket, and bytes that came and were not used yet.
struct Connection {
    socket: UnixStream,
    client: Client,
    scratch: Vec<u8>,
    filled: usize,
}

/// What a command works on.
enum Buffer<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

fn negotiate(socket: &mut UnixStream, export: &str) -> Result<Negotiated, Box<dyn Error>> {
    let mut flow = Connect::new(ConnectSettings::new(export));
    let (mut input, mut out, mut some) = (Vec::new(), Vec::new(), [0; 4096]);
    while flow.status() == Status::NeedInput {
        match socket.read(&mut some)? {
            0 => return Err(flow.eof().into()),
            count => input.extend_from_slice(&some[..count]),
        }
        loop {
            match flow.input(&input, &mut out)? {
                0 => break,
                consumed => drop(input.drain(..consumed)),
            }
        }
        socket.write_all(&out)?;
        out.clear();
    }
    Ok(flow.finish()?)
}

impl Connection {
    /// Carries one command out. A loop with many in flight would keep the buffers by cookie.
    fn run(&mut self, command: Command, mut buffer: Buffer<'_>) -> Result<(), Box<dyn Error>> {
        self.client.submit(command)?;
        loop {
            while self.client.wants_write() {
                self.send(&buffer)?;
            }
            self.receive(&mut buffer)?;
            loop {
                let advance = self.client.input(&self.scratch[..self.filled])?;
                let consumed = advance.consumed;
                match (advance.event, &mut buffer) {
                    (Some(Event::Data { range, bytes, .. }), Buffer::Read(into)) => into[range].copy_from_slice(bytes),
                    (Some(Event::Hole { range, .. }), Buffer::Read(into)) => into[range].fill(0),
                    (Some(Event::Done { result, .. }), _) => return Ok(result?),
                    (Some(_), _) => {}
                    (None, _) if consumed == 0 => break,
                    (None, _) => {}
                }
                self.scratch.copy_within(consumed..self.filled, 0);
                self.filled -= consumed;
            }
        }
    }

    /// Header and payload leave by one system call.
    fn send(&mut self, buffer: &Buffer<'_>) -> Result<(), Box<dyn Error>> {
        let pieces: Vec<IoSlice<'_>> = self
            .client
            .outbound()
            .map(|segment| match (segment, buffer) {
                (Segment::Framing(bytes), _) => IoSlice::new(bytes),
                (Segment::Payload { range, .. }, Buffer::Write(from)) => IoSlice::new(&from[range]),
                (Segment::Payload { .. }, Buffer::Read(_)) => IoSlice::new(&[]),
            })
            .collect();
        let count = self.socket.write_vectored(&pieces)?;
        self.client.sent(count);
        Ok(())
    }

    /// Payload is read straight into the buffer it belongs to.
    fn receive(&mut self, buffer: &mut Buffer<'_>) -> Result<(), Box<dyn Error>> {
        let count = match (self.client.landing(), buffer) {
            (Some(landing), Buffer::Read(into)) => {
                let count = self.socket.read(&mut into[landing.range])?;
                self.client.landed(count);
                count
            }
            _ => {
                let count = self.socket.read(&mut self.scratch[self.filled..])?;
                self.filled += count;
                count
            }
        };
        if count == 0 {
            self.client.eof();
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: plain_loop SOCKET")?;
    let mut socket = UnixStream::connect(path)?;
    let negotiated = negotiate(&mut socket, "")?;
    println!("{} bytes, {} replies", negotiated.info.size, negotiated.reply_style);
    let client = Client::new(negotiated, ClientSettings::default());
    let mut connection = Connection { socket, client, scratch: vec![0; MIN_INPUT_BUFFER], filled: 0 };
    connection.run(Command::write(4096, 512), Buffer::Write(&[7; 512]))?;
    let mut block = [0; 512];
    connection.run(Command::read(4096, 512), Buffer::Read(&mut block))?;
    assert_eq!(block, [7; 512]);
    println!("wrote a block and read it back");
    connection.client.disconnect()?;
    while connection.client.wants_write() {
        connection.send(&Buffer::Write(&[]))?;
    }
    Ok(())
}
