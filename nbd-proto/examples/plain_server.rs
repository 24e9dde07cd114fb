//! The core in a plain, blocking loop over a socket: serves a disk in memory to one client after the other.
//!
//! ```sh
//! cargo run -p nbd-proto --example plain_server /tmp/nbd.sock &
//! nbdinfo 'nbd+unix:///?socket=/tmp/nbd.sock'
//! ```
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "here is the I/O that the core has not")]
#![allow(clippy::disallowed_macros, reason = "a program may print")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use nbd_proto::handshake::{
    Accepted, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::transmission::{ReadPart, Request, RequestId, Segment, Server, ServerEvent, ServerSettings};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::{CommandType, ReplyType};

/// Bytes that came and were not used yet.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    fn fill(&mut self, socket: &mut UnixStream) -> std::io::Result<bool> {
        let mut some = [0; MIN_INPUT_BUFFER];
        let count = socket.read(&mut some)?;
        self.0.extend_from_slice(&some[..count]);
        Ok(count > 0)
    }
}

fn negotiate(socket: &mut UnixStream, input: &mut Input, size: u64) -> Result<Option<Accepted>, Box<dyn Error>> {
    let mut out = Vec::new();
    let mut handshake = ServerHandshake::new(ServerHandshakeSettings::default(), &mut out);
    loop {
        let advance = handshake.input(&input.0, &mut out)?;
        let (consumed, idle) = (advance.consumed, advance.consumed == 0 && advance.event.is_none());
        match advance.event {
            Some(ServerHandshakeEvent::List) => handshake.list([("", "a disk in memory")], &mut out)?,
            Some(ServerHandshakeEvent::LookUp(question)) if question.name.is_empty() => {
                handshake.offer(&Offer::new(size, TransmissionFlags::SEND_FLUSH), &mut out)?;
            }
            Some(ServerHandshakeEvent::LookUp(_)) => handshake.refuse(ReplyType::ERR_UNKNOWN, "no", &mut out)?,
            None => {}
        }
        input.0.drain(..consumed);
        socket.write_all(&out)?;
        out.clear();
        match handshake.status() {
            ServerStatus::Ready => return Ok(Some(handshake.finish()?)),
            ServerStatus::Closed => return Ok(None),
            _ if idle && !input.fill(socket)? => return Err(handshake.eof().into()),
            _ => {}
        }
    }
}

/// Carries one request out. A server with slow disks would hand it to a thread, and answer whenever it is done.
fn carry_out(
    server: &mut Server,
    request: Request,
    buffer: &mut Vec<u8>,
    disk: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let range = request.offset as usize..(request.offset + request.length) as usize;
    match request.command {
        CommandType::READ => {
            buffer.extend_from_slice(&disk[range]);
            server.finish_read(request.id, &[ReadPart::Data(request.length)])?;
        }
        CommandType::WRITE => {
            disk[range].copy_from_slice(buffer);
            server.finish(request.id)?;
        }
        // Only what the offer names is ever asked for: here that is a flush, and memory has nothing to flush.
        _ => server.finish(request.id)?,
    }
    Ok(())
}

fn serve(socket: &mut UnixStream, disk: &mut [u8]) -> Result<(), Box<dyn Error>> {
    let mut input = Input::default();
    let Some(accepted) = negotiate(socket, &mut input, disk.len() as u64)? else { return Ok(()) };
    let mut server = Server::new(accepted, ServerSettings::default());
    let mut requests: HashMap<RequestId, (Request, Vec<u8>)> = HashMap::new();
    while !server.is_finished() {
        // In: requests, and payload where it belongs.
        let advance = server.input(&input.0)?;
        let (consumed, idle) = (advance.consumed, advance.consumed == 0 && advance.event.is_none());
        match advance.event {
            Some(ServerEvent::Request(request)) => {
                let (_, buffer) = requests.entry(request.id).or_insert((request, Vec::new()));
                if request.command == CommandType::WRITE {
                    buffer.resize(request.length as usize, 0);
                    server.receive(request.id)?;
                } else {
                    carry_out(&mut server, request, buffer, disk)?;
                }
            }
            Some(ServerEvent::Data { id, range, bytes }) => {
                requests.entry(id).and_modify(|(_, buffer)| buffer[range].copy_from_slice(bytes));
            }
            Some(ServerEvent::Received { id }) => {
                if let Some((request, buffer)) = requests.get_mut(&id) {
                    carry_out(&mut server, *request, buffer, disk)?;
                }
            }
            Some(ServerEvent::Done { id, .. }) => drop(requests.remove(&id)),
            Some(ServerEvent::Disconnect) | None => {}
        }
        input.0.drain(..consumed);
        // Out: framing of ours, and ranges of the requests' buffers between it.
        while let Some(segment) = server.outbound().next() {
            let count = match segment {
                Segment::Framing(bytes) => socket.write(bytes)?,
                Segment::Payload { owner, range } => socket.write(&requests[&owner].1[range])?,
            };
            server.sent(count);
        }
        if idle && server.wants_read() && !input.fill(socket)? {
            server.eof();
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: plain_server SOCKET")?;
    let listener = UnixListener::bind(path)?;
    println!("listening");
    let mut disk = vec![0; 1 << 20];
    loop {
        let (mut socket, _) = listener.accept()?;
        // A client that breaks the rules, or just leaves, is no reason to stop.
        if let Err(error) = serve(&mut socket, &mut disk) {
            println!("a client is gone: {error}");
        }
    }
}
