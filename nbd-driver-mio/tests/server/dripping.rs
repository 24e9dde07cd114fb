//! Bytes that come one by one make the same requests.

use nbd_driver_mio::ServerOptions;

use crate::one::One;
use crate::raw::{DISC, WRITE, request};

#[test]
fn a_write_whose_bytes_come_one_by_one() {
    let mut one = One::open(ServerOptions::default());
    let data = nbd_testkit::pattern(700, 5);
    for cookie in [1, 2] {
        let bytes = [request(WRITE, cookie, 4096, 700), data.clone()].concat();
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            one.raw.send(&[*byte]);
            assert!(one.settle().is_empty());
        }
        one.raw.send(&[*last]);
        let (request, payload) = one.request();
        assert_eq!((request.offset, request.length), (4096, 700));
        assert!(payload[..] == data[..]);
        one.server.reuse(payload);
        one.server.finish(request.id).unwrap();
        assert_eq!(one.dones().len(), 1);
        assert_eq!(one.raw.simple_reply(), (0, cookie));
    }
    for byte in request(DISC, 0, 0, 0) {
        assert!(!one.is_over());
        one.raw.send(&[byte]);
        assert!(one.settle().is_empty());
    }
    one.assert_ended_in_order();
}
