//! Connections that are made, or refused, some time after the attempt began: by an event, and never by waiting.

use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::nbd_proto::uri::NbdUri;
use nbd_driver_mio::{ConnectTimeouts, Connecting, Error, Socket, Turn};
use nbd_testkit::oldstyle_greeting;
use rustix::net::listen;

use crate::deadlines::full;
use crate::driver::Loop;
use crate::peer::ALL;
use crate::support::{MIB, must_end};

fn connecting(socket: Socket) -> Connecting {
    Connecting::new(socket, ConnectSettings::new(""), ConnectTimeouts::default(), Instant::now())
}

#[track_caller]
fn assert_refused(error: &Error) {
    assert!(
        matches!(error, Error::Io { step, source }
        if step == "connecting" && source.kind() == ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_closed_tcp_port_refuses_by_an_event() {
    must_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        // Linux tells it late, even on the loopback.
        let mut connecting = connecting(Socket::connect(address).unwrap());
        assert_refused(&Loop::new().negotiate(&mut connecting).unwrap_err());
        assert!(connecting.into_client(nbd_driver_mio::ClientOptions::default()).is_err());
    });
}

/// Here, the attempt has been waiting for a while.
#[test]
fn a_listener_that_closes_refuses_those_who_wait() {
    must_end(|| {
        let (listener, others) = full();
        let mut connecting = connecting(Socket::connect(listener.local_addr().unwrap()).unwrap());
        let mut event_loop = Loop::new();
        event_loop.watch(&mut connecting);
        assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), Turn::Wait);
        drop((listener, others));
        // An event may come that says nothing yet.
        let error = loop {
            event_loop.wait(None, |event| connecting.ready(event));
            if let Err(error) = connecting.turn(&mut event_loop.scratch, Instant::now()) {
                break error;
            }
        };
        assert_refused(&error);
    });
}

#[test]
fn a_listener_that_finds_the_time_takes_those_who_wait() {
    must_end(|| {
        let (listener, others) = full();
        let mut connecting = connecting(Socket::connect(listener.local_addr().unwrap()).unwrap());
        let mut event_loop = Loop::new();
        event_loop.watch(&mut connecting);
        assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), Turn::Wait);
        let count = others.len();
        drop(others);
        let server = std::thread::spawn(move || {
            // Those who have left may still be in the queue before it.
            let mut accepted: Vec<_> = (0..=count).map(|_| listener.accept().unwrap().0).collect();
            for socket in &mut accepted {
                let _ = socket.write_all(&oldstyle_greeting(MIB, ALL.into()));
            }
            accepted
        });
        loop {
            match connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap() {
                Turn::Over => break,
                Turn::Again => {}
                Turn::Wait => event_loop.wait(connecting.deadline(), |event| connecting.ready(event)),
            }
        }
        server.join().unwrap();
    });
}

#[test]
fn a_full_unix_socket_says_would_block_at_once() {
    must_end(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        assert_eq!(Socket::connect_unix(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        let uri: NbdUri = format!("nbd+unix:///?socket={}", path.display()).parse().unwrap();
        let error = Socket::open(uri.transport()).unwrap_err();
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::WouldBlock), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        // Once there is room, it works.
        listener.accept().unwrap();
        Socket::connect_unix(&path).unwrap();
    });
}

#[test]
fn a_unix_socket_that_is_not_there_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Socket::connect_unix(dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_is_not_looked_up_but_told_apart() {
    for uri in ["nbd://localhost:10809", "nbd://[fe80::1%25lo]"] {
        let error = Socket::open(uri.parse::<NbdUri>().unwrap().transport()).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains("looked up"), "{error}");
    }
}
