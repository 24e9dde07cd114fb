//! Whatever carries bytes both ways and can be polled will do.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::{Client, ClientOptions, ConnectTimeouts, Connecting, Scratch, Socket, Stream, Turn};
use nbd_testkit::{oldstyle_greeting, pattern};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::driver::Loop;
use crate::peer::{ALL, Peer};
use crate::support::{MIB, assert_same, must_end};

/// More than any of them holds at once.
const LENGTH: usize = 600_000;

/// A server of a patterned disk at the other end, until it is told goodbye or the end comes.
fn serve(other: impl Into<OwnedFd>) -> thread::JoinHandle<()> {
    // Only read and written, so that its kind does not matter.
    let mut peer = Peer(UnixStream::from(other.into()));
    thread::spawn(move || {
        std::io::Write::write_all(&mut peer.0, &oldstyle_greeting(MIB, ALL.into())).unwrap();
        peer.serve(pattern(MIB as usize, 1));
    })
}

/// Reads and writes large pieces, both at once, and says goodbye.
fn works<S: Stream>(stream: S) {
    let mut event_loop = Loop::new();
    let settings = ConnectSettings::new("");
    let mut connecting = Connecting::new(stream, settings, ConnectTimeouts::default(), Instant::now());
    event_loop.watch(&mut connecting);
    while connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap() != Turn::Over {
        event_loop.wait(connecting.deadline(), |event| connecting.ready(event));
    }
    // A terminal does not hang up while somebody listens at the other end.
    let options = ClientOptions::default().with_close_timeout(Duration::from_secs(1));
    let mut client = connecting.into_client(options).unwrap();
    let mut model = pattern(MIB as usize, 1);
    client.read(vec![0; LENGTH], 0).unwrap();
    for round in 0..2 {
        client.write(pattern(LENGTH, round), 1000).unwrap();
        model[1000..1000 + LENGTH].copy_from_slice(&pattern(LENGTH, round));
        if round == 0 {
            let first = wait(&mut client, &mut event_loop);
            assert_same(&first.buffer, &pattern(MIB as usize, 1)[..LENGTH]);
        }
        assert_eq!(wait(&mut client, &mut event_loop).result, Ok(()));
    }
    client.read(vec![0; MIB as usize], 0).unwrap();
    assert_same(&wait(&mut client, &mut event_loop).buffer, &model);
    client.disconnect();
    let mut scratch = Scratch::new();
    while client.turn(&mut scratch, Instant::now()) != Turn::Over {
        event_loop.wait(client.deadline(), |event| client.ready(event));
    }
    assert_eq!(client.end(), Some(Ok(())));
}

fn wait<S: Stream>(client: &mut Client<S>, event_loop: &mut Loop) -> nbd_driver_mio::Completion {
    loop {
        let turn = client.turn(&mut event_loop.scratch, Instant::now());
        if let Some(completion) = client.completion() {
            return completion;
        }
        match turn {
            Turn::Wait => event_loop.wait(client.deadline(), |event| client.ready(event)),
            Turn::Again => {}
            Turn::Over => panic!("{:?}", client.end()),
        }
    }
}

#[test]
fn a_pair_of_unix_sockets() {
    must_end(|| {
        let (client, server) = UnixStream::pair().unwrap();
        let witness = client.try_clone().unwrap();
        let server = serve(server);
        works(Socket::from_fd(client).unwrap());
        // It is used as it is.
        assert!(!fcntl_getfl(&witness).unwrap().contains(OFlags::NONBLOCK));
        server.join().unwrap();
    });
}

#[test]
fn tcp() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = serve(listener.accept().unwrap().0);
        works(Socket::from_fd(client).unwrap());
        server.join().unwrap();
    });
}

#[test]
fn tcp_that_is_being_connected() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Socket::connect(listener.local_addr().unwrap()).unwrap();
        let server = serve(listener.accept().unwrap().0);
        works(client);
        server.join().unwrap();
    });
}

#[test]
fn streams_of_mio() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = mio::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = serve(listener.accept().unwrap().0);
        works(client);
        server.join().unwrap();
        let (client, server) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        let server = serve(server);
        works(mio::net::UnixStream::from_std(client));
        server.join().unwrap();
    });
}

/// No socket at all.
#[test]
fn a_pseudo_terminal() {
    must_end(|| {
        let client = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&client).unwrap();
        unlockpt(&client).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let server = ioctl_tiocgptpeer(&client, flags).unwrap();
        let mut mode = tcgetattr(&server).unwrap();
        mode.make_raw();
        tcsetattr(&server, OptionalActions::Now, &mode).unwrap();
        let witness = client.try_clone().unwrap();
        let (far, near) = UnixStream::pair().unwrap();
        let bridges = bridge(&File::from(server), &near);
        let server = serve(far);
        works(Socket::from_fd(client).unwrap());
        assert!(fcntl_getfl(&witness).unwrap().contains(OFlags::NONBLOCK));
        drop((witness, near));
        server.join().unwrap();
        for bridge in bridges {
            bridge.join().unwrap();
        }
    });
}

/// Carries bytes from one to the other, in both directions, until that is not possible any more.
fn bridge(terminal: &File, socket: &UnixStream) -> [thread::JoinHandle<()>; 2] {
    let (mut from, mut to) = (terminal.try_clone().unwrap(), socket.try_clone().unwrap());
    let there = thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
    let (mut from, mut to) = (socket.try_clone().unwrap(), terminal.try_clone().unwrap());
    let back = thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
    [there, back]
}

#[test]
fn what_is_no_stream_is_refused() {
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    let error = Socket::from_fd(datagram).unwrap_err();
    assert!(error.to_string().contains("not one of streams"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(Socket::from_fd(listener).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
}

/// A file is always ready, and so cannot be polled: this shows when it is registered.
#[test]
fn what_cannot_be_polled_cannot_be_registered() {
    let mut file = Socket::from_fd(tempfile::tempfile().unwrap()).unwrap();
    let poll = mio::Poll::new().unwrap();
    poll.registry().register(&mut file, mio::Token(0), mio::Interest::READABLE).unwrap_err();
}
