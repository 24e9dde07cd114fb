//! Answers to block status in completions that nobody takes count, until somebody does.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nbd_driver_mio::nbd_proto::error::CommandError;
use nbd_driver_mio::nbd_proto::handshake::ConnectSettings;
use nbd_driver_mio::nbd_proto::transmission::Command;
use nbd_driver_mio::{Buffer, ClientOptions, ConnectTimeouts, Connecting, Socket, Turn};
use nbd_testkit::newstyle_greeting;

use crate::driver::Loop;
use crate::endless_answers::{EXTENTS, extents, option_reply};
use crate::peer::ALL;
use crate::rig::{Rig, peer};
use crate::support::{MIB, must_end};

#[test]
fn count_until_they_are_taken() {
    const BLOCK_STATUS: u16 = 7;
    must_end(|| {
        let (client, server) = UnixStream::pair().unwrap();
        let mut server = peer(server);
        let facts = [&[0, 0][..], &MIB.to_be_bytes(), &ALL.to_be_bytes()].concat();
        let haggling = [
            newstyle_greeting(3),
            option_reply(8, 1, b""),
            option_reply(10, 4, b"\0\0\0\x01base:allocation"),
            option_reply(10, 1, b""),
            option_reply(7, 3, &facts),
            option_reply(7, 1, b""),
        ];
        server.0.write_all(&haggling.concat()).unwrap();
        let settings = ConnectSettings::new("").with_extended_headers(false).with_meta_context("base:allocation");
        let socket = Socket::from_fd(client).unwrap();
        let mut connecting = Connecting::new(socket, settings, ConnectTimeouts::default(), Instant::now());
        let mut event_loop = Loop::new();
        event_loop.negotiate(&mut connecting).unwrap();
        // Client flags; structured replies; a context; the export.
        server.0.read_exact(&mut [0; 4 + 16 + 16 + 4 + 4 + 4 + 15 + 16 + 4 + 2]).unwrap();
        // The information that is asked for.
        server.0.set_nonblocking(true).unwrap();
        while server.0.read(&mut [0; 1]).is_ok() {}
        server.0.set_nonblocking(false).unwrap();

        // Room for three of the server's answers.
        let options = ClientOptions::default().with_max_status_memory(3 * 128 * 24 + 1000);
        let mut rig = Rig { event_loop, client: connecting.into_client(options).unwrap() };
        let payload = extents(1, 100);
        let mut answer = |rig: &mut Rig, requests: usize| {
            for _ in 0..requests {
                rig.client.submit(Command::block_status(0, MIB), Buffer::NONE).unwrap();
            }
            assert_eq!(rig.turn(), Turn::Wait);
            for _ in 0..requests {
                let request = server.expect(BLOCK_STATUS);
                server.chunk(&request, true, EXTENTS, &payload);
            }
            rig.wait();
            while rig.turn() == Turn::Again {}
        };
        answer(&mut rig, 3);
        answer(&mut rig, 2);
        let ends: Vec<_> = std::iter::from_fn(|| rig.client.completion()).map(|done| done.result).collect();
        let too_large = Err(CommandError::StatusTooLarge { limit: 3 * 128 * 24 + 1000 });
        assert_eq!(ends, [Ok(()), Ok(()), Ok(()), too_large.clone(), too_large]);
        answer(&mut rig, 3);
        for _ in 0..3 {
            let done = rig.client.completion().unwrap();
            assert_eq!((done.result, done.contexts[0].extents.len()), (Ok(()), 100));
        }
    });
}
