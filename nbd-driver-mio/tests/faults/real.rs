//! The same faults of single calls on real sockets, in a real loop, with real peers. What a call swallows here no kernel
//! tells again: the loop does.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mio::event::Source;
use mio::{Events, Interest, Poll, Registry, Token};
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::*;
use nbd_driver_std::backend::Memory;
use nbd_driver_std::server::Export;
use nbd_testkit::{Disk, Nbdkit, must_end};

use crate::model::{SIZE, content};

/// What was said to block though it would not: reading, writing.
type Swallowed = Rc<Cell<(bool, bool)>>;

struct Faulty {
    socket: Socket,
    rng: Rng,
    short: usize,
    swallowed: Swallowed,
}

impl Faulty {
    fn new(socket: Socket, seed: u64) -> (Self, Swallowed) {
        let mut rng = Rng::with_seed(seed);
        let short = [7, 5000, usize::MAX][rng.usize(..3)];
        let swallowed = Swallowed::default();
        (Self { socket, rng, short, swallowed: Rc::clone(&swallowed) }, swallowed)
    }

    /// Fails, or says how many bytes are to be moved at most.
    fn fault(&mut self, first: usize) -> io::Result<usize> {
        match self.rng.u8(..16) {
            0 => Err(ErrorKind::Interrupted.into()),
            1 => Err(ErrorKind::WouldBlock.into()),
            2 if first > 1 => Ok(self.rng.usize(1..first)),
            _ if self.short == usize::MAX => Ok(usize::MAX),
            _ => Ok(self.rng.usize(1..=self.short)),
        }
    }
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let most = self.fault(buffers[0].len()).inspect_err(|error| {
            let (read, write) = self.swallowed.get();
            self.swallowed.set((read || error.kind() == ErrorKind::WouldBlock, write));
        })?;
        if most == usize::MAX {
            return self.socket.read_vectored(buffers);
        }
        let end = most.min(buffers[0].len());
        self.socket.read(&mut buffers[0][..end])
    }
}

impl Write for Faulty {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let most = self.fault(buffers[0].len()).inspect_err(|error| {
            let (read, write) = self.swallowed.get();
            self.swallowed.set((read, write || error.kind() == ErrorKind::WouldBlock));
        })?;
        if most == usize::MAX {
            return self.socket.write_vectored(buffers);
        }
        self.socket.write(&buffers[0][..most.min(buffers[0].len())])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Faulty {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}

impl Stream for Faulty {
    fn is_connected(&mut self) -> io::Result<bool> {
        self.socket.is_connected()
    }

    fn hang_up(&mut self) {
        self.socket.hang_up();
    }
}

/// The loop of one connection.
struct Loop {
    poll: Poll,
    events: Events,
    scratch: Scratch,
    swallowed: Swallowed,
}

impl Loop {
    fn new(swallowed: Swallowed) -> Self {
        Self { poll: Poll::new().unwrap(), events: Events::with_capacity(8), scratch: Scratch::new(), swallowed }
    }

    /// Waits, unless an event was swallowed, and hands on what is told.
    fn wait<T>(&mut self, turn: Turn, to: &mut T, ready: fn(&mut T, &mio::event::Event), set: fn(&mut T, bool, bool)) {
        let (read, write) = self.swallowed.take();
        let patience = (read || write || turn == Turn::Again).then_some(Duration::ZERO);
        self.poll.poll(&mut self.events, patience).unwrap();
        self.events.iter().for_each(|event| ready(to, event));
        set(to, read, write);
    }
}

/// Writes and reads, and compares each byte.
fn use_disk(socket: Socket, export: &str, mut disk: Vec<u8>, seed: u64) {
    let (faulty, swallowed) = Faulty::new(socket, seed);
    let longest = if faulty.short < 10 { 2000 } else { 200_000 };
    let (mut rng, mut turns) = (Rng::with_seed(seed), Loop::new(swallowed));
    let mut connecting =
        Connecting::new(faulty, ConnectSettings::new(export), ConnectTimeouts::default(), Instant::now());
    turns.poll.registry().register(&mut connecting, Token(0), Interest::READABLE).unwrap();
    loop {
        let turn = connecting.turn(&mut turns.scratch, Instant::now()).unwrap();
        if turn == Turn::Over {
            break;
        }
        turns.wait(turn, &mut connecting, Connecting::ready, Connecting::set_ready);
    }
    let mut client = connecting.into_client(ClientOptions::default()).unwrap();
    // Each place is asked for once at a time: half of them are written, then all are read.
    let places: Vec<usize> = (0..SIZE / longest.max(50_000)).map(|at| at * longest.max(50_000)).collect();
    let mut writes = 0;
    for at in places.iter().step_by(2) {
        let length = rng.usize(1..=longest);
        let bytes = content(&mut rng, length);
        disk[*at..at + length].copy_from_slice(&bytes);
        client.write(bytes, *at as u64).unwrap();
        writes += 1;
    }
    let (mut ended, mut asked) = (0, writes);
    loop {
        let turn = client.turn(&mut turns.scratch, Instant::now());
        while let Some(done) = client.completion() {
            ended += 1;
            done.result.unwrap();
            if done.command.command == CommandType::READ {
                let at = done.command.offset as usize;
                assert!(done.buffer[..] == disk[at..at + done.buffer.len()], "a read brought something else");
            }
        }
        if turn == Turn::Over {
            break;
        }
        if ended == writes && asked == writes {
            for at in &places {
                client.read(vec![0; longest], *at as u64).unwrap();
                asked += 1;
            }
            client.disconnect();
            continue;
        }
        turns.wait(turn, &mut client, Client::ready, Client::set_ready);
    }
    assert_eq!(ended, asked);
    assert!(client.end().unwrap().is_ok(), "{:?}", client.end());
}

#[test]
fn a_client_with_a_faulty_socket_uses_nbdkit() {
    must_end(|| {
        for seed in 0..9 {
            let disk = Disk::patterned(SIZE, seed);
            for tcp in [false, true] {
                let kit = Nbdkit::disk(disk.clone());
                let Some(server) = (if tcp { kit.tcp() } else { kit }).start() else { return };
                let socket = if tcp {
                    Socket::connect(server.tcp_address()).unwrap()
                } else {
                    Socket::connect_unix(server.socket()).unwrap()
                };
                use_disk(socket, "", disk.contents(), seed);
            }
        }
    });
}

#[test]
fn a_client_with_a_faulty_socket_uses_the_threaded_server() {
    must_end(|| {
        for seed in 0..12 {
            let export = Export::shared("disk", Arc::new(Memory::new(SIZE as u64)));
            let server =
                nbd_driver_std::server::Server::new(nbd_driver_std::server::ServerOptions::new()).export(export);
            let (ours, theirs) = UnixStream::pair().unwrap();
            let thread = std::thread::spawn(move || server.serve_fd(theirs));
            use_disk(Socket::from_fd(ours).unwrap(), "disk", vec![0; SIZE], seed);
            thread.join().unwrap().unwrap();
        }
    });
}

/// Serves one client until it leaves.
fn serve(socket: Socket, seed: u64) {
    let (faulty, swallowed) = Faulty::new(socket, seed);
    let mut turns = Loop::new(swallowed);
    let mut disk = vec![0; SIZE];
    let offers = [("disk", Offer::new(SIZE as u64, TransmissionFlags::SEND_FLUSH))];
    let mut accepting = Accepting::new(faulty, ServerHandshakeSettings::default(), None, Instant::now());
    turns.poll.registry().register(&mut accepting, Token(0), Interest::READABLE).unwrap();
    loop {
        let turn = accepting.turn(&mut turns.scratch, Instant::now()).unwrap();
        if turn == Turn::Over {
            break;
        }
        if !accepting.answer_from(&offers).unwrap() {
            turns.wait(turn, &mut accepting, Accepting::ready, Accepting::set_ready);
        }
    }
    let mut server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
    loop {
        let turn = server.turn(&mut turns.scratch, Instant::now());
        let mut answered = false;
        while let Some(event) = server.event() {
            let ServerEvent::Request { request, payload } = event else { continue };
            answered = true;
            let range = request.offset as usize..(request.offset + request.length) as usize;
            match request.command {
                CommandType::READ => server.finish_read(request.id, disk[range].to_vec()).unwrap(),
                CommandType::WRITE => {
                    disk[range].copy_from_slice(&payload);
                    server.reuse(payload);
                    server.finish(request.id).unwrap();
                }
                _ => server.finish(request.id).unwrap(),
            }
        }
        if turn == Turn::Over {
            break;
        }
        if !answered {
            turns.wait(turn, &mut server, Server::ready, Server::set_ready);
        }
    }
    assert!(server.end().unwrap().is_ok(), "{:?}", server.end());
}

#[test]
fn a_server_with_a_faulty_socket_is_used_by_the_blocking_client() {
    must_end(|| {
        for seed in 0..12 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let thread = std::thread::spawn(move || {
                let client = nbd_driver_std::ConnectOptions::new().connect_fd(theirs, "disk").unwrap();
                let mut rng = Rng::with_seed(seed);
                for length in [1, 100, 5000] {
                    let (bytes, at) = (content(&mut rng, length), rng.u64(..SIZE as u64 / 2));
                    client.write_at(&bytes, at).unwrap();
                    let mut back = vec![0; length];
                    client.read_at(&mut back, at).unwrap();
                    assert!(back == bytes, "a read brought something else");
                }
                client.shutdown().unwrap();
            });
            serve(Socket::from_fd(ours).unwrap(), seed);
            thread.join().unwrap();
        }
    });
}

#[test]
fn two_faulty_sockets_understand_each_other() {
    must_end(|| {
        for seed in 0..12 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let thread = std::thread::spawn(move || serve(Socket::from_fd(theirs).unwrap(), seed + 1));
            use_disk(Socket::from_fd(ours).unwrap(), "disk", vec![0; SIZE], seed);
            thread.join().unwrap();
        }
    });
}
