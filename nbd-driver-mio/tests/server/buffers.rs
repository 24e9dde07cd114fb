//! What a `READ` is answered with comes back as it is: nothing is copied.

use bytes::{Bytes, BytesMut};
use nbd_driver_mio::{Buffer, ServerOptions};

use crate::one::One;
use crate::raw::READ;

const LENGTH: usize = 3000;

fn each_kind() -> [Buffer; 3] {
    [vec![1; LENGTH].into(), Bytes::from(vec![2; LENGTH]).into(), BytesMut::from(&[3; LENGTH][..]).into()]
}

#[test]
fn each_kind_comes_back_when_it_was_sent() {
    let mut one = One::open(ServerOptions::default());
    for (cookie, buffer) in (1..).zip(each_kind()) {
        one.raw.request(READ, cookie, 0, LENGTH as u32);
        let [request] = one.requests().try_into().unwrap();
        let (address, model) = (buffer.as_ptr(), buffer.clone());
        one.server.finish_read(request.id, buffer).unwrap();
        let (id, back, sent) = one.done();
        assert_eq!((id, back.as_ptr(), sent), (request.id, address, true));
        assert_eq!(back, model);
        assert_eq!(one.raw.simple_reply(), (0, cookie));
        assert!(one.raw.many(LENGTH) == model[..]);
    }
}

#[test]
fn each_kind_comes_back_when_it_was_not_sent() {
    for buffer in each_kind() {
        let mut one = One::open(ServerOptions::default());
        one.raw.request(READ, 1, 0, LENGTH as u32);
        let [request] = one.requests().try_into().unwrap();
        let address = buffer.as_ptr();
        one.server.finish_read(request.id, buffer).unwrap();
        one.server.give_up("for a test");
        let (_, back, sent) = one.done();
        assert_eq!((back.as_ptr(), back.len(), sent), (address, LENGTH, false));
    }
}
