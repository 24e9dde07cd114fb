//! A client that sends no more still gets all its answers, however late they come.

use std::net::Shutdown;

use nbd_driver_mio::{ServerOptions, Turn};

use crate::one::One;
use crate::raw::{DISC, READ, request};

#[test]
fn gets_answers_that_are_longer_than_the_socket_holds() {
    for goodbye in [false, true] {
        let mut one = One::open(ServerOptions::default());
        for cookie in 0..10 {
            one.raw.request(READ, cookie, 0, 300 << 10);
        }
        if goodbye {
            one.raw.request(DISC, 0, 0, 0);
        }
        one.raw.0.shutdown(Shutdown::Write).unwrap();
        let requests = one.requests();
        assert_eq!(requests.len(), 10);
        assert_eq!(one.turn(), Turn::Wait);
        let mut dones = 0;
        for (cookie, request) in (0..10u8).zip(&requests).rev() {
            assert!(!one.is_over());
            one.server.finish_read(request.id, vec![cookie; 300 << 10]).unwrap();
            dones += one.dones().len();
            assert_eq!(one.raw.simple_reply(), (0, u64::from(cookie)));
            let mut answer = Vec::new();
            while answer.len() < 300 << 10 {
                answer.extend(one.received());
                dones += one.dones().len();
            }
            assert_eq!(answer.len(), 300 << 10);
            assert!(answer.iter().all(|byte| *byte == cookie));
        }
        assert_eq!(dones, 10);
        assert_eq!(one.turn(), Turn::Over);
        assert_eq!(one.server.end().unwrap().is_ok(), goodbye);
        one.raw.expect_end();
    }
}

#[test]
fn is_told_apart_from_one_that_stopped_inside_a_request() {
    let mut one = One::open(ServerOptions::default());
    one.raw.send(&request(READ, 1, 0, 512));
    one.raw.send(&request(READ, 2, 0, 512)[..20]);
    one.raw.0.shutdown(Shutdown::Write).unwrap();
    let [read] = one.requests().try_into().unwrap();
    one.server.finish_read(read.id, vec![4; 512]).unwrap();
    assert_eq!(one.dones().len(), 1);
    assert_eq!(one.raw.simple_reply(), (0, 1));
    assert!(one.error().contains("in the middle of"), "{}", one.error());
}
