//! After the handshake, the stream and the core by hand.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use nbd_driver_mio::ClientOptions;
use nbd_driver_mio::nbd_proto::transmission::{self, ClientSettings, Command, Event};
use nbd_testkit::oldstyle_greeting;

use crate::driver::Loop;
use crate::peer::{ALL, READ};
use crate::rig::{connecting, peer};
use crate::support::{MIB, must_end};

#[test]
fn the_stream_comes_registered_and_the_core_goes_on() {
    must_end(|| {
        let (client, server) = UnixStream::pair().unwrap();
        let mut peer = peer(server);
        peer.0.write_all(&oldstyle_greeting(MIB, ALL.into())).unwrap();
        let (mut connecting, mut event_loop) = (connecting(client), Loop::new());
        event_loop.negotiate(&mut connecting).unwrap();
        let (negotiated, mut socket, rest) = connecting.into_parts().unwrap();
        assert_eq!((negotiated.info.size, &rest[..]), (MIB, &[][..]));

        let mut engine = transmission::Client::new(negotiated, ClientSettings::default());
        let cookie = engine.submit(Command::read(0, 512)).unwrap();
        let bytes: Vec<u8> = engine
            .outbound()
            .flat_map(|segment| match segment {
                transmission::Segment::Framing(bytes) => bytes.to_vec(),
                transmission::Segment::Payload { .. } => panic!("a read has none"),
            })
            .collect();
        assert_eq!(socket.write(&bytes).unwrap(), bytes.len());
        engine.sent(bytes.len());
        assert_eq!(socket.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let request = peer.expect(READ);
        peer.reply(&request, 0, &[5; 512]);
        // The registration tells it.
        event_loop.wait(None, |event| assert!(event.is_readable()));
        let mut input = vec![0; 1000];
        let count = socket.read(&mut input).unwrap();
        let mut input = &input[..count];
        let mut data = vec![0; 512];
        loop {
            let advance = engine.input(input).unwrap();
            input = &input[advance.consumed..];
            match advance.event {
                Some(Event::Data { range, bytes, .. }) => data[range].copy_from_slice(bytes),
                Some(Event::Done { cookie: done, result }) => {
                    assert_eq!((done, result), (cookie, Ok(())));
                    break;
                }
                other => assert!(advance.consumed > 0, "{other:?}"),
            }
        }
        assert_eq!(data, [5; 512]);
    });
}

#[test]
fn what_came_behind_the_handshake_is_not_lost() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        server.write_all(&[&oldstyle_greeting(MIB, ALL.into())[..], b"and more"].concat()).unwrap();
        let mut connecting = connecting(client);
        Loop::new().negotiate(&mut connecting).unwrap();
        assert_eq!(connecting.into_parts().unwrap().2, b"and more");
    });
}

/// Whatever it is, the client has to see it: here it is the beginning of a reply to nobody.
#[test]
fn nor_is_it_for_the_client() {
    must_end(|| {
        let (client, mut server) = UnixStream::pair().unwrap();
        let stray = [&0x6744_6698_u32.to_be_bytes()[..], &[0; 12]].concat();
        server.write_all(&[&oldstyle_greeting(MIB, ALL.into())[..], &stray].concat()).unwrap();
        let (mut connecting, mut event_loop) = (connecting(client), Loop::new());
        event_loop.negotiate(&mut connecting).unwrap();
        let client = connecting.into_client(ClientOptions::default()).unwrap();
        let mut rig = crate::rig::Rig { event_loop, client };
        assert_eq!(rig.turn(), nbd_driver_mio::Turn::Over);
        let error = rig.client.end().unwrap().unwrap_err().to_string();
        assert!(error.contains("cookie"), "{error}");
    });
}

#[test]
fn before_the_end_of_the_handshake_there_is_nothing_to_have() {
    let (client, _server) = UnixStream::pair().unwrap();
    connecting(client).into_parts().unwrap_err();
    let (client, _server) = UnixStream::pair().unwrap();
    connecting(client).into_client(ClientOptions::default()).unwrap_err();
}
