//! Requests that come together with the end of the handshake are not lost.

use nbd_driver_mio::ServerOptions;
use nbd_driver_mio::nbd_proto::handshake::HandshakeStyle;

use crate::one::{One, SIZE, hello, option};
use crate::raw::{DISC, OPT_EXPORT_NAME, Raw, WRITE, request};

const FLUSH: u16 = 3;

/// Has two requests and a goodbye behind this.
#[track_caller]
fn behind(style: HandshakeStyle, hello: &[u8], skip_answer: impl FnOnce(&mut Raw)) {
    let all =
        [hello, &request(FLUSH, 1, 0, 0), &request(WRITE, 2, 0, 512), &[7; 512], &request(DISC, 0, 0, 0)].concat();
    let mut one = One::said(ServerOptions::default(), style, &all);
    let [flush, write] = one.requests().try_into().unwrap();
    one.server.finish(write.id).unwrap();
    one.server.finish(flush.id).unwrap();
    assert_eq!(one.dones().len(), 2);
    one.assert_ended_in_order();
    skip_answer(&mut one.raw);
    assert_eq!(one.raw.simple_reply(), (0, 2));
    assert_eq!(one.raw.simple_reply(), (0, 1));
    one.raw.expect_end();
}

#[test]
fn behind_go() {
    behind(HandshakeStyle::FixedNewstyle, &hello(), |raw| {
        let _greeting: [u8; 18] = raw.bytes();
        while raw.option_reply().0 != 1 {}
    });
}

#[test]
fn behind_an_export_name() {
    for (style, flags) in [(HandshakeStyle::FixedNewstyle, 3u32), (HandshakeStyle::Newstyle, 0)] {
        let hello = [&flags.to_be_bytes()[..], &option(OPT_EXPORT_NAME, b"disk")].concat();
        behind(style, &hello, |raw| {
            let _greeting: [u8; 18] = raw.bytes();
            assert_eq!(u64::from_be_bytes(raw.bytes()), SIZE);
            let _flags: [u8; 2] = raw.bytes();
            if flags == 0 {
                assert_eq!(raw.bytes(), [0; 124]);
            }
        });
    }
}

#[test]
fn of_an_oldstyle_client_who_says_nothing_else() {
    behind(HandshakeStyle::Oldstyle, &[], |raw| {
        let greeting: [u8; 152] = raw.bytes();
        assert_eq!(greeting[16..24], SIZE.to_be_bytes());
    });
}
