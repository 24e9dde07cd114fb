//! CVE-2024-7409: clients connect and get on with nothing; they use up what the server has for clients, and if it is taken
//! away while one of them still holds its socket open, it crashes.
//!
//! We promise: the handshake has its time, only so many clients may be in it, those who use an export are not touched by
//! them, and a stop waits for none of them longer than its grace, for most not at all.

use std::time::Duration;

use crate::disk::TestDisk;
use crate::driver::{Export, ServerOptions};
use crate::raw::{OPT_LIST, OPT_STRUCTURED_REPLY, REP_ACK, Raw};
use crate::support::{HANG, MIB, TestServer, must_end, serve_with};

fn serve(options: ServerOptions) -> TestServer {
    serve_with(options, [Export::shared("disk", TestDisk::patterned(MIB, 1).share())])
}

/// Clients who wait at all moments of a handshake, in the order in which they came.
fn idle(server: &TestServer) -> [Raw; 4] {
    let socket = server.socket();
    let mut silent = Raw::connect(&socket);
    let _greeting: [u8; 18] = silent.bytes();
    let greeted = Raw::greeted(&socket);
    let mut half = Raw::greeted(&socket);
    half.send(b"IHAVEO");
    // It claims a payload that does not come.
    let mut in_payload = Raw::greeted(&socket);
    in_payload.send(&[&b"IHAVEOPT"[..], &OPT_LIST.to_be_bytes(), &1000_u32.to_be_bytes(), b"some"].concat());
    [silent, greeted, half, in_payload]
}

#[test]
fn idle_handshakes_hold_up_nobody_and_make_room_for_who_gets_on() {
    must_end(|| {
        // Their time is longer than the test's.
        let server = serve(ServerOptions::new().max_connections(2).handshake_timeout(Some(10 * HANG)));
        let established = server.connect();
        let mut idle: Vec<_> = (0..5).flat_map(|_| idle(&server)).collect();
        established.write_at(&[7; 512], 0).unwrap();
        let another = server.connect();
        another.read_at(&mut [0; 512], 0).unwrap();
        // Of those in the handshake two are kept, and one of these was dropped for the client who got on.
        let (last, dropped) = idle.split_last_mut().unwrap();
        dropped.iter_mut().for_each(Raw::expect_end);
        last.send(&[0; 996]);
        assert_ne!(last.option_reply().0, REP_ACK, "a list has no payload");
        established.read_at(&mut [0; 512], 0).unwrap();
        established.shutdown().unwrap();
        another.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn an_idle_handshake_is_over_when_its_time_is() {
    must_end(|| {
        let server = serve(ServerOptions::new().handshake_timeout(Some(Duration::from_millis(50))));
        let established = server.connect();
        for mut raw in idle(&server) {
            raw.expect_end();
        }
        // The limit is not for those who are through.
        established.read_at(&mut [0; 512], 0).unwrap();
        established.shutdown().unwrap();
        server.end();
    });
}

#[test]
fn a_stop_gives_idle_handshakes_no_more_than_its_grace() {
    must_end(|| {
        let options = ServerOptions::new().handshake_timeout(None).stop_grace(Duration::from_millis(50));
        let server = serve(options);
        let idle = idle(&server);
        let mut asked = Raw::greeted(&server.socket());
        asked.option(OPT_STRUCTURED_REPLY, &[]);
        asked.option_reply();
        server.running.stop();
        for mut raw in idle.into_iter().chain([asked]) {
            raw.expect_end();
        }
        assert_eq!(server.running.wait().unwrap().left_behind, 0);
    });
}
