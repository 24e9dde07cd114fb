//! A connection that only asks what there is.

use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::{List, ListSettings};
use nbd_driver_mio::{ConnectTimeouts, Connecting, Socket};
use nbd_testkit::{Disk, NbdServer, Script, oldstyle_greeting};

use crate::driver::Loop;
use crate::support::{MIB, must_end};

fn connecting(socket: Socket) -> Connecting<List> {
    Connecting::with_flow(socket, List::new(ListSettings::default()), ConnectTimeouts::default(), Instant::now())
}

#[test]
fn lists_the_exports_and_says_goodbye() {
    must_end(|| {
        let server = NbdServer::new().export("one", Disk::empty(MIB)).export("two", Disk::empty(4096)).start();
        let Some(server) = server else { return };
        let mut connecting = connecting(Socket::connect_unix(server.socket()).unwrap());
        Loop::new().negotiate(&mut connecting).unwrap();
        let mut names: Vec<_> = connecting.finish().unwrap().exports.into_iter().map(|export| export.name).collect();
        names.sort();
        assert_eq!(names, ["one", "two"]);
    });
}

#[test]
fn gives_the_stream_back_where_there_is_more_to_do_with_it() {
    must_end(|| {
        let (socket, peer) = Script::new().send(oldstyle_greeting(MIB, 1)).hold().pair();
        let mut connecting = connecting(Socket::from_fd(socket).unwrap());
        Loop::new().negotiate(&mut connecting).unwrap();
        let (listing, socket, _) = connecting.into_parts().unwrap();
        assert_eq!(listing.exports.len(), 1);
        drop(socket);
        peer.join().unwrap();
    });
}

#[test]
fn is_an_error_before_it_has_ended() {
    must_end(|| {
        let (socket, peer) = Script::new().hold().pair();
        let mut event_loop = Loop::new();
        let mut connecting = connecting(Socket::from_fd(socket).unwrap());
        assert_eq!(connecting.turn(&mut event_loop.scratch, Instant::now()).unwrap(), nbd_driver_mio::Turn::Wait);
        connecting.finish().unwrap_err();
        peer.join().unwrap();
    });
}
