//! How a connection ends: in order, on demand of either side.

use std::time::{Duration, Instant};

use nbd_testkit::{Disk, NbdServer, Nbdkit, QemuNbd, Script, oldstyle_greeting};

use crate::driver::nbd_proto::error::Refused;
use crate::driver::nbd_proto::wire::number::ErrorValue;
use crate::driver::{Client, ConnectOptions, Error};
use crate::peer::{ALL, DISC, READ, oldstyle};
use crate::support::{MIB, must_end, refused, server_error};

/// A chance to say goodbye too early.
const EARLY: Duration = Duration::from_millis(200);

/// A request of 28 bytes without anything but its command.
pub(crate) fn disc() -> Vec<u8> {
    [&0x2560_9513_u32.to_be_bytes()[..], &[0, 0, 0, 2], &[0; 20]].concat()
}

#[test]
fn shutdown_says_goodbye_and_waits_for_the_end() {
    must_end(|| {
        let script = Script::new().send(oldstyle_greeting(MIB, ALL.into())).expect(disc()).close();
        let peer = script.listen();
        let client = Client::connect(&peer.uri()).unwrap();
        client.shutdown().unwrap();
        peer.join().unwrap();
        let closed = |error: Error| {
            assert!(matches!(error, Error::Connection(_) | Error::Refused(Refused::Closed)), "{error}");
            assert!(error.to_string().contains("clos"), "{error}");
        };
        closed(client.read_at(&mut [0; 512], 0).unwrap_err());
        closed(client.flush().unwrap_err());
        closed(client.queue().read(vec![0; 512], 0).unwrap_err().error);
        // It is shut down, which is what is asked for.
        client.shutdown().unwrap();
    });
}

#[test]
fn a_drop_says_goodbye_and_does_not_wait() {
    must_end(|| {
        let peer = Script::new().send(oldstyle_greeting(MIB, ALL.into())).expect(disc()).wait_eof().listen();
        let client = Client::connect(&peer.uri()).unwrap();
        drop(client);
        peer.join().unwrap();
    });
}

#[test]
fn shutdown_ends_well_with_every_server() {
    must_end(|| {
        let disk = || Disk::patterned(1 << 20, 1);
        let servers = [
            Nbdkit::disk(disk()).start(),
            QemuNbd::new(disk()).start(),
            NbdServer::new().export("one", disk()).start(),
        ];
        for server in servers.into_iter().flatten() {
            let client = Client::connect(&server.uri()).unwrap();
            client.write_at(&[1; 512], 0).unwrap();
            client.shutdown().unwrap();
        }
    });
}

#[test]
fn a_server_that_never_hangs_up_is_left() {
    must_end(|| {
        let peer = Script::new().send(oldstyle_greeting(MIB, ALL.into())).expect(disc()).wait_eof().listen();
        let client = Client::connect(&peer.uri()).unwrap();
        let started = Instant::now();
        client.shutdown().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(4), "it had no time to hang up");
        // The connection is closed, though the client is still there.
        peer.join().unwrap();
        refused(client.flush());
    });
}

#[test]
fn shutdown_tells_of_a_connection_that_was_over() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| drop(peer.expect(READ)));
        client.read_at(&mut [0; 512], 0).unwrap_err();
        assert!(matches!(client.shutdown(), Err(Error::Connection(_))));
        server.join().unwrap();
    });
}

/// "If the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft disconnect" (spec, *Terminating the
/// transmission phase*).
#[test]
fn a_server_that_shuts_down_is_told_goodbye() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            let request = peer.expect(READ);
            peer.reply(&request, 108, &[]);
            peer.expect(DISC);
        });
        assert_eq!(server_error(client.read_at(&mut [0; 512], 0)), ErrorValue::ESHUTDOWN);
        // The client is not dropped before the goodbye has come.
        server.join().unwrap();
        client.read_at(&mut [0; 512], 0).unwrap_err();
        client.shutdown().unwrap();
    });
}

#[test]
fn shutdown_waits_for_what_a_queue_has_in_flight() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            let requests = [peer.expect(READ), peer.expect(READ)];
            assert!(!peer.comes_within(EARLY), "a goodbye before the replies");
            for request in requests {
                peer.reply(&request, 0, &[1; 512]);
            }
            peer.expect(DISC);
        });
        let mut queue = client.queue();
        queue.read(vec![0; 512], 0).unwrap();
        queue.read(vec![0; 512], 512).unwrap();
        client.shutdown().unwrap();
        for _ in 0..2 {
            let completion = queue.wait().unwrap();
            completion.result.unwrap();
            assert_eq!(completion.buffer, [1; 512]);
        }
        assert!(queue.wait().is_none());
        server.join().unwrap();
    });
}

/// It "SHOULD wait until there are no inflight requests first" (ibid.).
#[test]
fn requests_in_flight_end_before_the_goodbye() {
    must_end(|| {
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, |peer| {
            let (first, second) = (peer.expect(READ), peer.expect(READ));
            peer.reply(&second, 108, &[]);
            assert!(!peer.comes_within(EARLY), "a goodbye before the other reply");
            peer.reply(&first, 0, &[1; 512]);
            peer.expect(DISC);
        });
        let mut queue = client.queue();
        let first = queue.read(vec![0; 512], 0).unwrap();
        queue.read(vec![0; 512], 512).unwrap();
        while let Some(completion) = queue.wait() {
            if completion.ticket == first {
                completion.result.unwrap();
            } else {
                assert_eq!(server_error(completion.result), ErrorValue::ESHUTDOWN);
            }
        }
        server.join().unwrap();
        queue.read(vec![0; 512], 0).unwrap_err();
    });
}
