//! Client and server, in one loop, with each other and with others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::nbd_proto::handshake::{ConnectSettings, Offer, ServerHandshakeSettings};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::*;
use nbd_testkit::{Disk, Nbdkit, must_end};

#[test]
fn a_client_reads_and_writes() {
    must_end(|| {
        let disk = Disk::patterned(1 << 20, 7);
        let Some(server) = Nbdkit::disk(disk.clone()).start() else { return };
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut scratch = Scratch::new();
        let socket = Socket::connect_unix(server.socket()).unwrap();
        let mut connecting =
            Connecting::new(socket, ConnectSettings::new(""), ConnectTimeouts::default(), Instant::now());
        poll.registry().register(&mut connecting, Token(0), Interest::READABLE).unwrap();
        while connecting.turn(&mut scratch, Instant::now()).unwrap() != Turn::Over {
            poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
            events.iter().for_each(|event| connecting.ready(event));
        }
        let mut client = connecting.into_client(ClientOptions::default()).unwrap();
        for at in 0..16 {
            client.read(vec![0; 65536], at * 65536).unwrap();
        }
        client.disconnect();
        let mut count = 0;
        loop {
            let turn = client.turn(&mut scratch, Instant::now());
            while let Some(done) = client.completion() {
                done.result.unwrap();
                let at = done.command.offset as usize;
                assert!(done.buffer[..] == disk.contents()[at..at + 65536]);
                count += 1;
            }
            match turn {
                Turn::Over => break,
                Turn::Again => {}
                Turn::Wait => {
                    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
                    events.iter().for_each(|event| client.ready(event));
                }
            }
        }
        assert_eq!(count, 16);
        assert!(client.end().unwrap().is_ok());
    });
}

#[test]
fn a_server_is_used_by_the_blocking_client() {
    must_end(|| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let client = nbd_driver_std::ConnectOptions::new().connect_fd(theirs, "disk").unwrap();
            let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
            client.write_at(&data, 12345).unwrap();
            let mut back = vec![0; data.len()];
            client.read_at(&mut back, 12345).unwrap();
            assert!(back == data);
            client.shutdown().unwrap();
        });
        let mut disk = vec![0; 4 << 20];
        let offers = [("disk", Offer::new(disk.len() as u64, TransmissionFlags::SEND_FLUSH))];
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut scratch = Scratch::new();
        let socket = Socket::from_fd(ours).unwrap();
        let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, Instant::now());
        poll.registry().register(&mut accepting, Token(0), Interest::READABLE).unwrap();
        loop {
            let turn = accepting.turn(&mut scratch, Instant::now()).unwrap();
            if turn == Turn::Over {
                break;
            }
            if !accepting.answer_from(&offers).unwrap() && turn == Turn::Wait {
                poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
                events.iter().for_each(|event| accepting.ready(event));
            }
        }
        let mut server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
        loop {
            let turn = server.turn(&mut scratch, Instant::now());
            let mut any = false;
            while let Some(event) = server.event() {
                any = true;
                let ServerEvent::Request { request, payload } = event else { continue };
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
            match turn {
                Turn::Over => break,
                Turn::Wait if !any => {
                    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
                    events.iter().for_each(|event| server.ready(event));
                }
                _ => {}
            }
        }
        assert!(server.end().unwrap().is_ok(), "{:?}", server.end());
        thread.join().unwrap();
    });
}
