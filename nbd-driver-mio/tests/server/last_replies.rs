//! Answers that were sent reach the client, though it still has something to say when the server ends the connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::{Accepting, Scratch, ServerEvent, ServerOptions, Socket, Turn};

use crate::one::{Readiness, hello, offer};
use crate::raw::{READ, request};

const LENGTH: u32 = 1 << 20;

#[test]
fn over_tcp_after_a_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(nbd_testkit::PATIENCE)).unwrap();
    let socket = Socket::from_fd(listener.accept().unwrap().0).unwrap();
    let (now, mut scratch) = (Instant::now(), Scratch::new());
    let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, now);
    let mut readiness = Readiness::of(&mut accepting);
    client.write_all(&[hello(), request(READ, 1, 0, LENGTH)].concat()).unwrap();
    loop {
        readiness.tell(|event| accepting.ready(event));
        if accepting.turn(&mut scratch, now).unwrap() == Turn::Over {
            break;
        }
        accepting.answer_from(&[("disk", offer())]).unwrap();
    }
    let mut server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
    let read = loop {
        readiness.tell(|event| server.ready(event));
        assert_ne!(server.turn(&mut scratch, now), Turn::Over);
        if let Some(ServerEvent::Request { request, .. }) = server.event() {
            break request.id;
        }
    };
    // What is behind the greeting and the replies of the handshake.
    let mut got = Vec::new();
    server.begin_shutdown();
    server.finish_read(read, vec![7; LENGTH as usize]).unwrap();
    let mut some = vec![0; 4096];
    loop {
        readiness.tell(|event| server.ready(event));
        let turn = server.turn(&mut scratch, now);
        if turn == Turn::Over {
            break;
        }
        // Slowly, so that much of it is still on its way.
        let count = client.read(&mut some).unwrap();
        got.extend_from_slice(&some[..count]);
    }
    assert!(matches!(server.end(), Some(Ok(()))), "{:?}", server.end());
    assert!(matches!(server.event(), Some(ServerEvent::Done { sent: true, .. })));
    // A client that does not know yet.
    client.write_all(&request(READ, 2, 0, 512)).unwrap();
    drop(server);
    let end = client.read_to_end(&mut got);
    assert!(got.iter().filter(|byte| **byte == 7).count() >= LENGTH as usize, "{} bytes, {end:?}", got.len());
}
