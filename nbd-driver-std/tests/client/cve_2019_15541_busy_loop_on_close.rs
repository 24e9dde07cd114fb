//! CVE-2019-15541: the other side closes, and the loop around the connection runs on without waiting for anything.
//!
//! We promise: a server that closes ends every call that waits for it; where it closes only its receiving half, so that
//! answers may still come, the thread that waits for them sleeps.

use std::net::Shutdown;

use nbd_testkit::{await_rest, this_thread};

use crate::driver::ConnectOptions;
use crate::peer::{ALL, READ, oldstyle};
use crate::support::{MIB, connection_error, must_end};

#[test]
fn a_server_that_closes_ends_all_that_waits() {
    for how in [Shutdown::Write, Shutdown::Both] {
        must_end(move || {
            let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
                peer.expect(READ);
                peer.0.shutdown(how).unwrap();
                // Stays until the client has gone, which it does by itself.
                while peer.request().is_some() {}
            });
            let mut queue = client.queue();
            for number in 0..4 {
                queue.read(vec![0; 512], number * 512).unwrap();
            }
            let mut ended = 0;
            while let Some(completion) = queue.wait() {
                connection_error(completion.result);
                ended += 1;
            }
            assert_eq!(ended, 4);
            server.join().unwrap();
            connection_error(client.flush());
        });
    }
}

#[test]
fn a_server_that_takes_no_more_and_has_not_answered_is_waited_for_asleep() {
    must_end(|| {
        let thread = this_thread();
        let (client, server) = oldstyle(&ConnectOptions::new(), MIB, ALL, move |peer| {
            let first = peer.expect(READ);
            // Whatever the client wants to send from now on cannot be sent.
            peer.0.shutdown(Shutdown::Read).unwrap();
            await_rest(&thread);
            peer.reply(&first, 0, &[7; 512]);
        });
        let mut buffer = [0; 512];
        client.read_at(&mut buffer, 0).unwrap();
        assert_eq!(buffer, [7; 512]);
        connection_error(client.write_at(&buffer, 0));
        server.join().unwrap();
    });
}
