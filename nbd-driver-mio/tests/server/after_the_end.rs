//! What a connection has ended with stays, whatever is called after that.

use nbd_driver_mio::{ServerOptions, Turn};

use crate::one::One;
use crate::raw::DISC;

const FLUSH: u16 = 3;

#[test]
fn an_end_by_shutdown_stays_though_a_request_lies_there() {
    let mut one = One::open(ServerOptions::default());
    assert_eq!(one.turn(), Turn::Wait);
    one.server.begin_shutdown();
    // The server is not told of it any more.
    one.raw.request(FLUSH, 1, 0, 0);
    let mut scratch = nbd_driver_mio::Scratch::new();
    assert_eq!(one.server.turn(&mut scratch, one.now), Turn::Over);
    one.assert_ended_in_order();
    assert_eq!(one.turn(), Turn::Over);
    one.assert_ended_in_order();
}

#[test]
fn an_end_in_order_stays_though_it_is_given_up() {
    let mut one = One::open(ServerOptions::default());
    one.raw.request(DISC, 0, 0, 0);
    assert!(one.settle().is_empty());
    one.assert_ended_in_order();
    one.server.give_up("too late");
    assert_eq!(one.turn(), Turn::Over);
    one.assert_ended_in_order();
}
