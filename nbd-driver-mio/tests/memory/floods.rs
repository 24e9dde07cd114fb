//! Clients that send without end, and take nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::{Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{Accepting, Buffer, Scratch, Server, ServerEvent, ServerOptions, Socket, Turn};

use crate::counting;

/// What a server may hold of payload here, in bytes, and what it takes beside that.
const LIMIT: usize = 4 << 20;
const BESIDE: usize = 256 << 10;

struct Flood {
    client: UnixStream,
    /// What it sends again and again.
    message: Vec<u8>,
    sent: usize,
}

impl Flood {
    fn start(message: &[u8]) -> (Self, Accepting) {
        let (client, server) = UnixStream::pair().unwrap();
        (&client).write_all(&3u32.to_be_bytes()).unwrap();
        client.set_nonblocking(true).unwrap();
        let accepting =
            Accepting::new(Socket::from_fd(server).unwrap(), ServerHandshakeSettings::default(), None, Instant::now());
        // Few calls, since each takes room of its own in the socket.
        let message = message.repeat(1 + (1 << 16) / message.len());
        (Self { client, message, sent: 0 }, accepting)
    }

    /// Sends as much as fits. Says whether that was anything.
    fn send(&mut self) -> bool {
        let before = self.sent;
        while let Ok(count) = self.client.write(&self.message[self.sent % self.message.len()..]) {
            self.sent += count;
        }
        self.sent > before
    }
}

fn option(option: u32, payload: &[u8]) -> Vec<u8> {
    [&b"IHAVEOPT"[..], &option.to_be_bytes(), &(payload.len() as u32).to_be_bytes(), payload].concat()
}

fn request(kind: CommandType, length: u32) -> Vec<u8> {
    let head = [&0x2560_9513_u32.to_be_bytes()[..], &[0, 0], &kind.0.to_be_bytes(), &[7; 8], &[0; 8]];
    [&head.concat()[..], &length.to_be_bytes()].concat()
}

#[test]
fn of_options_whose_answers_nobody_takes() {
    let name = "n".repeat(4000);
    let offers = [(&name[..], Offer::new(1 << 20, TransmissionFlags::empty()))];
    let queries = [&[0; 4][..], &3000u32.to_be_bytes(), &b"\0\0\0\x01:".repeat(3000)].concat();
    for message in [option(3, b""), option(9, &queries), option(10, &queries), option(0x1234, &vec![7; 1 << 20])] {
        let (mut flood, mut accepting) = Flood::start(&message);
        let mut scratch = Scratch::new();
        let before = counting::bytes();
        let mut over = false;
        // Until the server reads no more, or has had enough.
        while !over && flood.send() && flood.sent < 64 << 20 {
            accepting.set_ready(true, true);
            loop {
                match accepting.turn(&mut scratch, Instant::now()) {
                    Ok(Turn::Again) => {}
                    Ok(Turn::Wait) if accepting.answer_from(&offers).unwrap() => {}
                    Ok(Turn::Wait) => break,
                    Ok(Turn::Over) | Err(_) => {
                        over = true;
                        break;
                    }
                }
            }
            let grown = counting::bytes().saturating_sub(before);
            assert!(grown <= BESIDE, "{grown} bytes after {} that came: {:x?}", flood.sent, &flood.message[..16]);
        }
        assert!(flood.sent > 100_000, "the flood was none");
    }
}

/// A server in its transmission phase, and its client.
fn served(message: &[u8]) -> (Flood, Server, Scratch) {
    let (mut flood, mut accepting) = Flood::start(message);
    (&flood.client).write_all(&option(1, b"")).unwrap();
    accepting.set_ready(true, true);
    let mut scratch = Scratch::new();
    let flags = TransmissionFlags::SEND_FLUSH;
    while accepting.turn(&mut scratch, Instant::now()).unwrap() != Turn::Over {
        accepting.answer_from(&[("", Offer::new(1 << 40, flags))]).unwrap();
    }
    let mut greeting = [0; 18 + 10];
    flood.client.read_exact(&mut greeting).unwrap();
    let server = accepting.into_server(ServerOptions::default().with_max_bytes(LIMIT)).unwrap().unwrap();
    flood.sent = 0;
    (flood, server, scratch)
}

/// The caller takes each request, and `answer` may answer it.
fn flood(message: &[u8], mut answer: impl FnMut(&mut Server, ServerEvent)) -> usize {
    let (mut flood, mut server, mut scratch) = served(message);
    let before = counting::bytes();
    let mut most = 0;
    while flood.send() && flood.sent < 64 << 20 {
        server.set_ready(true, true);
        loop {
            let turn = server.turn(&mut scratch, Instant::now());
            let mut events = 0;
            while let Some(event) = server.event() {
                events += 1;
                most = most.max(counting::bytes().saturating_sub(before));
                answer(&mut server, event);
            }
            most = most.max(counting::bytes().saturating_sub(before));
            if turn != Turn::Again && events == 0 {
                break;
            }
        }
    }
    assert!(flood.sent > 100_000, "the flood was none");
    most
}

#[test]
fn of_writes_that_are_not_answered() {
    let mut held = Vec::new();
    let message = [request(CommandType::WRITE, 1 << 20), vec![7; 1 << 20]].concat();
    let most = flood(&message, |_, event| held.push(event));
    assert!(most > LIMIT / 2 && most <= LIMIT + BESIDE, "{most} bytes");
}

#[test]
fn of_reads_whose_answers_nobody_takes() {
    let mut answered = 0;
    let most = flood(&request(CommandType::READ, 1 << 20), |server, event| {
        if let ServerEvent::Request { request, .. } = event {
            answered += 1;
            server.finish_read(request.id, Buffer::from(vec![7; 1 << 20])).unwrap();
        }
    });
    assert!(answered > 1, "nothing was answered");
    assert!(most > LIMIT / 2 && most <= LIMIT + BESIDE, "{most} bytes");
}

#[test]
fn of_requests_that_are_wrong() {
    for message in [request(CommandType(77), 0), request(CommandType::TRIM, 7), request(CommandType::READ, 0)] {
        let most = flood(&message, |_, event| assert!(matches!(event, ServerEvent::Done { .. }), "{event:?}"));
        assert!(most <= BESIDE, "{most} bytes");
    }
}
