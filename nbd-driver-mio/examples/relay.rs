//! A relay: passes an export of one server on to a client. A client and a server connection in one mio loop; payload goes
//! from one to the other without a copy. It serves one client and ends; a relay for many keeps such pairs by token.
//!
//! ```sh
//! nbdkit -f -U /tmp/up.sock memory 1M &
//! cargo run -p nbd-driver-mio --example relay 'nbd+unix:///?socket=/tmp/up.sock' /tmp/down.sock &
//! nbdinfo 'nbd+unix:///?socket=/tmp/down.sock'
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::error::{CommandError, Refused};
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, Negotiated, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::transmission::{Command, Failure, Request};
use nbd_driver_mio::nbd_proto::uri::NbdUri;
use nbd_driver_mio::nbd_proto::wire::chunk::Descriptor;
use nbd_driver_mio::nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_driver_mio::nbd_proto::wire::number::{CommandType, Cookie, ErrorValue};
use nbd_driver_mio::{Accepting, Client, ClientOptions, Completion, ConnectTimeouts, Connecting, Scratch, Server};
use nbd_driver_mio::{ServerEvent, ServerOptions, Socket, Turn};

const UP: Token = Token(0);
const DOWN: Token = Token(1);

/// The export as we offer it: by the same name, with all that the server said of it.
fn offer(upstream: &Negotiated) -> (&str, Offer) {
    let flags = upstream.info.flags - TransmissionFlags::CAN_MULTI_CONN;
    let mut offer = Offer::new(upstream.info.size, flags);
    offer.block_sizes = upstream.info.block_sizes;
    offer.description.clone_from(&upstream.info.description);
    offer.contexts = upstream.contexts.iter().map(|context| context.name.clone()).collect();
    (&upstream.export, offer)
}

type Asked = HashMap<Cookie, Request>;

/// Passes a request on, with the buffer that goes with it.
fn ask(client: &mut Client, server: &mut Server, asked: &mut Asked, request: Request, payload: BytesMut) {
    let Request { command, flags, offset, length, .. } = request;
    let buffer = if command == CommandType::READ { BytesMut::zeroed(length as usize) } else { payload };
    // Our answer to a read is in one piece, whatever the server's was.
    let command = Command { command, flags: flags - CommandFlags::DF, offset, length };
    match client.submit(command, buffer) {
        Ok(cookie) => drop(asked.insert(cookie, request)),
        // Never "not now": the limits of both sides are the same.
        Err(rejected) => drop(fail(server, &request, &rejected.to_string())),
    }
}

fn fail(server: &mut Server, request: &Request, message: &str) -> Result<(), Refused> {
    server.fail(request.id, &Failure { error: ErrorValue::EIO, message, offset: None })
}

/// Passes an answer back. Refused where the client has left.
fn answer(server: &mut Server, request: &Request, done: Completion) -> Result<(), Refused> {
    let id = request.id;
    match (done.result, request.command) {
        (Err(CommandError::Server(error)), _) => {
            server.fail(id, &Failure { error: error.error.known(), message: &error.message, offset: error.offset })
        }
        (Err(error), _) => fail(server, request, &error.to_string()),
        (Ok(()), CommandType::READ) => server.finish_read(id, done.buffer).map_err(|refused| refused.why),
        (Ok(()), CommandType::BLOCK_STATUS) => {
            // There is one context at most, so both sides mean the same.
            let extents = done.contexts.iter().flat_map(|context| &context.extents);
            let extents: Vec<_> = extents.map(|it| Descriptor { length: it.length, flags: it.flags }).collect();
            let answers: Vec<_> = server.contexts(id).iter().map(|context| (*context, &extents[..])).collect();
            server.finish_status(id, &answers)
        }
        (Ok(()), _) => server.finish(id),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [uri, path] = &arguments[..] else { return Err("usage: relay URI SOCKET".into()) };
    let uri = NbdUri::parse(uri)?;
    let (mut poll, mut events, mut scratch) = (Poll::new()?, Events::with_capacity(8), Scratch::new());
    let mut wait = |poll: &mut Poll, turn: Turn, deadline: Option<Instant>| {
        let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, if turn == Turn::Again { Some(Duration::ZERO) } else { patience })?;
        Ok::<_, std::io::Error>(events.iter().cloned().collect::<Vec<_>>())
    };

    let settings = ConnectSettings::new(uri.export_name()).with_meta_context("base:allocation");
    let socket = Socket::open(uri.transport())?;
    let mut connecting = Connecting::new(socket, settings, ConnectTimeouts::default(), Instant::now());
    poll.registry().register(&mut connecting, UP, Interest::READABLE)?;
    while let turn @ (Turn::Wait | Turn::Again) = connecting.turn(&mut scratch, Instant::now())? {
        wait(&mut poll, turn, connecting.deadline())?.iter().for_each(|event| connecting.ready(event));
    }
    let mut client = connecting.into_client(ClientOptions::default())?;

    let listener = UnixListener::bind(path)?;
    println!("listening");
    let socket = Socket::from_fd(listener.accept()?.0)?;
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, Instant::now());
    poll.registry().register(&mut accepting, DOWN, Interest::READABLE)?;
    while let turn @ (Turn::Wait | Turn::Again) = accepting.turn(&mut scratch, Instant::now())? {
        let answered = accepting.answer_from(&[offer(client.negotiated())])?;
        for event in wait(&mut poll, if answered { Turn::Again } else { turn }, None)? {
            if event.token() == UP { client.ready(&event) } else { accepting.ready(&event) }
        }
    }
    let Some(mut server) = accepting.into_server(ServerOptions::default())? else { return Ok(()) };

    let mut asked = HashMap::new();
    loop {
        let now = Instant::now();
        // Whichever side goes first, the other one follows when it has nothing left to do.
        if client.end().is_some() {
            server.begin_shutdown();
        }
        let down = server.turn(&mut scratch, now);
        if down == Turn::Over {
            client.disconnect();
        }
        let was_open = client.end().is_none();
        let up = client.turn(&mut scratch, now);
        let mut busy = [up, down].contains(&Turn::Again) || was_open && up == Turn::Over;
        while let Some(event) = server.event() {
            busy = true;
            if let ServerEvent::Request { request, payload } = event {
                ask(&mut client, &mut server, &mut asked, request, payload);
            }
        }
        while let Some(done) = client.completion() {
            busy = true;
            if let Some(request) = asked.remove(&done.cookie) {
                let refused = answer(&mut server, &request, done).err();
                refused.map(|refused| fail(&mut server, &request, &refused.to_string()));
            }
        }
        if [up, down] == [Turn::Over; 2] {
            break;
        }
        let deadline = [client.deadline(), server.deadline()].into_iter().flatten().min();
        for event in wait(&mut poll, if busy { Turn::Again } else { Turn::Wait }, deadline)? {
            if event.token() == UP { client.ready(&event) } else { server.ready(&event) }
        }
    }
    println!("the client ended {:?}, the server {:?}", server.end(), client.end());
    Ok(())
}
