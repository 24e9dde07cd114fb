//! The driver names the next deadline, and the caller's clock brings it about: here it is a clock that nobody waits for.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::{ClientOptions, ConnectTimeouts, Connecting, Error, Scratch, Socket, Turn};
use nbd_testkit::{newstyle_greeting, oldstyle_greeting};
use rustix::net::listen;

use crate::driver::Loop;
use crate::endless;
use crate::peer::{ALL, DISC, READ};
use crate::rig::{Rig, peer};
use crate::support::{MIB, must_end};

const SECOND: Duration = Duration::from_secs(1);

const TIMEOUTS: ConnectTimeouts =
    ConnectTimeouts { connect: Some(Duration::from_secs(7)), idle: Some(Duration::from_secs(3)), handshake: None };

fn just_before(at: Instant) -> Instant {
    at.checked_sub(Duration::from_nanos(1)).unwrap()
}

fn connecting(socket: Socket, timeouts: ConnectTimeouts, now: Instant) -> Connecting {
    Connecting::new(socket, ConnectSettings::new(""), timeouts, now)
}

/// At its deadline it is late, and not before.
#[track_caller]
fn late(connecting: &mut Connecting, event_loop: &mut Loop, step: &str, after: Duration) {
    let deadline = connecting.deadline().unwrap();
    assert_eq!(connecting.turn(&mut event_loop.scratch, just_before(deadline)).unwrap(), Turn::Wait);
    assert_eq!(connecting.deadline(), Some(deadline));
    let error = connecting.turn(&mut event_loop.scratch, deadline).unwrap_err();
    assert!(matches!(error, Error::Timeout { step: late, after: told } if late == step && told == after), "{error:?}");
}

/// A listener that takes nobody in, and those who keep it from that.
pub(crate) fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        full.push(client);
    }
    (listener, full)
}

#[test]
fn of_a_connection_that_nobody_accepts() {
    must_end(|| {
        let (listener, _others) = full();
        let (mut event_loop, now) = (Loop::new(), Instant::now());
        let socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        let mut connecting = connecting(socket, TIMEOUTS, now);
        event_loop.watch(&mut connecting);
        assert_eq!(connecting.deadline(), Some(now + 7 * SECOND));
        assert_eq!(connecting.turn(&mut event_loop.scratch, now + 2 * SECOND).unwrap(), Turn::Wait);
        assert_eq!(connecting.deadline(), Some(now + 7 * SECOND));
        late(&mut connecting, &mut event_loop, "connecting", 7 * SECOND);
    });
}

#[test]
fn of_a_handshake_in_which_the_server_falls_silent() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let (mut event_loop, now) = (Loop::new(), Instant::now());
        let mut connecting = connecting(Socket::from_fd(client).unwrap(), TIMEOUTS, now);
        event_loop.watch(&mut connecting);
        // It counts from when there is a connection, and from each byte that comes.
        assert_eq!(connecting.turn(&mut event_loop.scratch, now + SECOND).unwrap(), Turn::Wait);
        assert_eq!(connecting.deadline(), Some(now + 4 * SECOND));
        for (byte, at) in newstyle_greeting(3).into_iter().zip([2, 4, 6]) {
            server.write_all(&[byte]).unwrap();
            event_loop.wait(None, |event| connecting.ready(event));
            let now = now + at * SECOND;
            assert_eq!(connecting.turn(&mut event_loop.scratch, now).unwrap(), Turn::Wait);
            assert_eq!(connecting.deadline(), Some(now + 3 * SECOND));
        }
        late(&mut connecting, &mut event_loop, "the handshake", 3 * SECOND);
    });
}

#[test]
fn of_a_handshake_as_a_whole() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let (mut event_loop, now) = (Loop::new(), Instant::now());
        let timeouts = ConnectTimeouts { handshake: Some(8 * SECOND), ..TIMEOUTS };
        let mut connecting = connecting(Socket::from_fd(client).unwrap(), timeouts, now);
        event_loop.watch(&mut connecting);
        for (byte, at) in newstyle_greeting(3).into_iter().zip([0, 2, 4, 6]) {
            server.write_all(&[byte]).unwrap();
            event_loop.wait(None, |event| connecting.ready(event));
            assert_eq!(connecting.turn(&mut event_loop.scratch, now + at * SECOND).unwrap(), Turn::Wait);
        }
        assert_eq!(connecting.deadline(), Some(now + 8 * SECOND));
        late(&mut connecting, &mut event_loop, "the handshake", 8 * SECOND);
    });
}

/// The caller was busy, not the server.
#[test]
fn do_not_count_against_what_has_come_already() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let (mut event_loop, now) = (Loop::new(), Instant::now());
        let mut connecting = connecting(Socket::from_fd(client).unwrap(), TIMEOUTS, now);
        event_loop.watch(&mut connecting);
        assert_eq!(connecting.turn(&mut event_loop.scratch, now).unwrap(), Turn::Wait);
        server.write_all(&oldstyle_greeting(MIB, ALL.into())).unwrap();
        event_loop.wait(None, |event| connecting.ready(event));
        assert_eq!(connecting.turn(&mut event_loop.scratch, now + 100 * SECOND).unwrap(), Turn::Over);
        assert_eq!(connecting.deadline(), None);
        let options = ClientOptions::default().with_request_timeout(Some(SECOND));
        let mut rig = Rig { event_loop, client: connecting.into_client(options).unwrap() };
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        let mut peer = peer(server);
        let request = peer.expect(READ);
        peer.reply(&request, 0, &[1; 512]);
        rig.wait();
        assert_eq!(rig.turn_at(now + 100 * SECOND), Turn::Wait);
        assert_eq!(rig.client.completion().unwrap().result, Ok(()));
    });
}

#[test]
fn of_requests_from_the_first_turn_of_each() {
    must_end(|| {
        let options = ClientOptions::default().with_request_timeout(Some(5 * SECOND));
        let (mut rig, mut peer) = Rig::new(options);
        let now = Instant::now();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        assert_eq!(rig.client.deadline(), None);
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        assert_eq!(rig.client.deadline(), Some(now + 5 * SECOND));
        rig.client.read(vec![0; 512], 512).unwrap();
        assert_eq!(rig.turn_at(now + SECOND), Turn::Wait);
        rig.client.read(vec![0; 512], 1024).unwrap();
        assert_eq!(rig.turn_at(now + 2 * SECOND), Turn::Wait);
        assert_eq!(rig.client.deadline(), Some(now + 5 * SECOND));
        // Answered in another order.
        let requests = [peer.expect(READ), peer.expect(READ), peer.expect(READ)];
        for (request, deadline) in [(1, Some(5)), (0, Some(7)), (2, None)] {
            peer.reply(&requests[request], 0, &[1; 512]);
            rig.wait();
            assert_eq!(rig.turn_at(now + 3 * SECOND), Turn::Wait);
            assert_eq!(rig.client.deadline(), deadline.map(|seconds| now + seconds * SECOND));
        }
        // And at last one is late.
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn_at(now + 10 * SECOND), Turn::Wait);
        assert_eq!(rig.turn_at(just_before(now + 15 * SECOND)), Turn::Wait);
        assert_eq!(rig.turn_at(now + 15 * SECOND), Turn::Over);
        let error = rig.client.end().unwrap().unwrap_err().to_string();
        assert_eq!(error, "a request was not answered within 5 s");
        assert_eq!(rig.client.deadline(), None);
    });
}

#[test]
fn of_a_server_that_does_not_hang_up_after_the_goodbye() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default().with_close_timeout(2 * SECOND));
        let now = Instant::now();
        rig.client.disconnect();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        peer.expect(DISC);
        assert_eq!(rig.client.deadline(), Some(now + 2 * SECOND));
        assert_eq!(rig.turn_at(just_before(now + 2 * SECOND)), Turn::Wait);
        assert_eq!(rig.turn_at(now + 2 * SECOND), Turn::Over);
        // All that was asked is done.
        assert_eq!(rig.client.end(), Some(Ok(())));
        assert_eq!(peer.request(), None);
    });
}

/// Neither is it told to one who takes nothing.
#[test]
fn of_a_goodbye_that_the_server_does_not_take() {
    must_end(|| {
        let (client, server) = UnixStream::pair().unwrap();
        let mut stuffing = client.try_clone().unwrap();
        let (mut rig, mut peer) = Rig::over(client, server, ClientOptions::default().with_close_timeout(2 * SECOND));
        stuffing.set_nonblocking(true).unwrap();
        while stuffing.write(&[0; 1000]).is_ok() {}
        while stuffing.write(&[0]).is_ok() {}
        let now = Instant::now();
        rig.client.disconnect();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        assert_eq!(rig.client.deadline(), Some(now + 2 * SECOND));
        assert_eq!(rig.turn_at(now + 2 * SECOND), Turn::Over);
        let error = rig.client.end().unwrap().unwrap_err().to_string();
        assert!(error.contains("did not take the goodbye"), "{error}");
        std::io::copy(&mut peer.0, &mut std::io::sink()).unwrap();
    });
}

/// While others are answered all the time, one is not.
#[test]
fn of_a_request_beside_others_that_never_end() {
    must_end(|| {
        let options = ClientOptions::default().with_request_timeout(Some(5 * SECOND));
        let (mut rig, mut peer) = Rig::new(options);
        let now = Instant::now();
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn_at(now), Turn::Wait);
        peer.expect(READ);
        for seconds in 1..5 {
            rig.client.read(vec![0; 512], 512).unwrap();
            assert_eq!(rig.turn_at(now + seconds * SECOND), Turn::Wait);
            let request = peer.expect(READ);
            peer.reply(&request, 0, &[1; 512]);
            rig.wait();
            assert_eq!(rig.turn_at(now + seconds * SECOND), Turn::Wait);
            assert_eq!(rig.client.completion().unwrap().result, Ok(()));
            assert_eq!(rig.client.deadline(), Some(now + 5 * SECOND));
        }
        assert_eq!(rig.turn_at(now + 5 * SECOND), Turn::Over);
    });
}

/// Its answer may be among what is still to be read: but not for ever.
#[test]
fn of_a_request_to_a_server_that_never_stops_talking() {
    let options = ClientOptions::default().with_request_timeout(Some(3 * SECOND));
    let (mut client, _) = endless::client_with(usize::MAX, options);
    let (mut scratch, now) = (Scratch::new(), Instant::now());
    client.read(vec![0; 32 << 20], 0).unwrap();
    for at in [now, now + 3 * SECOND, just_before(now + 6 * SECOND)] {
        assert_eq!(client.turn(&mut scratch, at), Turn::Again);
    }
    assert_eq!(client.turn(&mut scratch, now + 6 * SECOND), Turn::Over);
    let error = client.completion().unwrap().result.unwrap_err().to_string();
    assert_eq!(error, "a request was not answered within 3 s");
}
