//! Memory that was given back is used for the payload of the next write.

use bytes::BytesMut;
use nbd_driver_mio::ServerOptions;

use crate::one::One;
use crate::raw::{WRITE, request};

/// What a write brings.
#[track_caller]
fn written(one: &mut One, length: usize, byte: u8) -> BytesMut {
    one.raw.send(&[request(WRITE, 1, 0, length as u32), vec![byte; length]].concat());
    let (request, payload) = one.request();
    one.server.finish(request.id).unwrap();
    assert_eq!(one.dones().len(), 1);
    assert!(payload.len() == length && payload.iter().all(|found| *found == byte));
    payload
}

#[test]
fn it_is_used_again_for_what_fits() {
    let mut one = One::open(ServerOptions::default());
    let payload = written(&mut one, 5000, 1);
    let address = payload.as_ptr();
    one.server.reuse(payload);
    for length in [5000, 1, 4999] {
        let payload = written(&mut one, length, 2);
        assert_eq!(payload.as_ptr(), address);
        one.server.reuse(payload);
    }
    // It is no place for more.
    assert_ne!(written(&mut one, 6000, 3).as_ptr(), address);
}

#[test]
fn memory_of_another_kind_will_do() {
    let mut one = One::open(ServerOptions::default());
    let given = BytesMut::with_capacity(10_000);
    let address = given.as_ptr();
    one.server.reuse(given);
    assert_eq!(written(&mut one, 10_000, 4).as_ptr(), address);
}
