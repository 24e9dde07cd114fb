//! A shutdown of the server lets requests end that have begun, and no others begin.

use nbd_driver_mio::{ServerOptions, Turn};

use crate::one::One;
use crate::raw::{READ, WRITE, request};

const FLUSH: u16 = 3;
const ESHUTDOWN: u32 = 108;

#[test]
fn ends_an_idle_connection_with_the_next_turn() {
    let mut one = One::open(ServerOptions::default());
    assert_eq!(one.turn(), Turn::Wait);
    one.server.begin_shutdown();
    assert_eq!(one.turn(), Turn::Over);
    one.assert_ended_in_order();
    one.raw.expect_end();
}

#[test]
fn refuses_what_comes_later() {
    let mut one = One::open(ServerOptions::default());
    one.raw.request(READ, 1, 0, 512);
    let [read] = one.requests().try_into().unwrap();
    one.server.begin_shutdown();
    one.raw.send(&[&request(FLUSH, 2, 0, 0)[..], &request(WRITE, 3, 0, 512), &[7; 512]].concat());
    assert!(one.requests().is_empty());
    assert_eq!(one.raw.simple_reply(), (ESHUTDOWN, 2));
    assert_eq!(one.raw.simple_reply(), (ESHUTDOWN, 3));
    one.server.finish_read(read.id, vec![4; 512]).unwrap();
    assert_eq!(one.dones().len(), 1);
    one.assert_ended_in_order();
    assert_eq!(one.raw.simple_reply(), (0, 1));
    assert_eq!(one.raw.many(512), [4; 512]);
    one.raw.expect_end();
}

#[test]
fn waits_for_the_rest_of_a_write() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&[&request(WRITE, 1, 0, 512)[..], &[7; 100]].concat());
    assert!(one.requests().is_empty());
    one.server.begin_shutdown();
    assert_eq!(one.turn(), Turn::Wait);
    one.raw.send(&[7; 412]);
    let [write] = one.requests().try_into().unwrap();
    one.server.finish(write.id).unwrap();
    assert_eq!(one.dones().len(), 1);
    one.assert_ended_in_order();
    assert_eq!(one.raw.simple_reply(), (0, 1));
}

#[test]
fn waits_until_a_slow_client_has_its_answer() {
    let mut one = One::open(ServerOptions::default());
    one.raw.request(READ, 1, 0, 4 << 20);
    let [read] = one.requests().try_into().unwrap();
    one.server.begin_shutdown();
    one.server.finish_read(read.id, vec![4; 4 << 20]).unwrap();
    let (mut got, mut dones) = (Vec::new(), one.dones());
    while !one.is_over() {
        assert!(dones.is_empty());
        got.extend(one.received());
        dones = one.dones();
    }
    got.extend(one.received());
    assert_eq!(got.len(), 16 + (4 << 20));
    assert!(got[16..].iter().all(|byte| *byte == 4));
    assert!(matches!(dones[..], [(_, _, true)]));
    one.assert_ended_in_order();
    one.raw.expect_end();
}

#[test]
fn is_not_held_up_by_the_beginning_of_a_header() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&request(READ, 1, 0, 512)[..20]);
    assert!(one.requests().is_empty());
    one.server.begin_shutdown();
    assert_eq!(one.turn(), Turn::Over);
    one.assert_ended_in_order();
}
