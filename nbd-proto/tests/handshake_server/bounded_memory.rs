//! Whatever a client sends, the memory of a server stays within a bound.

use nbd_proto::error::Error;
use nbd_proto::handshake::{ServerHandshake, ServerHandshakeSettings};
use nbd_proto::limits::MAX_OPTION_PAYLOAD;
use nbd_proto::wire::number::OptionCode;

use crate::bytes;
use crate::counting;

const OPTIONS: std::ops::Range<u32> = 0..14;

/// A server that awaits an option.
fn server(out: &mut Vec<u8>) -> ServerHandshake {
    let mut server = ServerHandshake::new(ServerHandshakeSettings::default(), out);
    for bytes in [bytes::client_flags(3), bytes::header(OptionCode::STRUCTURED_REPLY, 0)] {
        assert_eq!(server.input(&bytes, out).unwrap().consumed, bytes.len());
    }
    out.clear();
    server
}

#[test]
fn a_length_that_is_only_claimed_costs_nothing() {
    for option in OPTIONS {
        for length in [MAX_OPTION_PAYLOAD, MAX_OPTION_PAYLOAD + 1, 1 << 20, (1 << 20) + 1, u32::MAX] {
            let mut out = Vec::with_capacity(1 << 16);
            let mut server = server(&mut out);
            let header = bytes::header(OptionCode(option), length);
            let before = counting::allocations();
            let result = server.input(&header, &mut out).map(|advance| advance.consumed);
            assert_eq!(counting::allocations(), before, "option {option} of {length} bytes");
            assert!(length <= 1 << 20 || result.is_err(), "option {option} of {length} bytes goes on");
        }
    }
}

#[test]
fn what_is_skipped_is_not_kept() {
    let mut out = Vec::with_capacity(1 << 16);
    let mut server = server(&mut out);
    let payload = vec![7; 4096];
    let header = bytes::header(OptionCode(0x1234), 1 << 20);
    let before = counting::allocations();
    assert_eq!(server.input(&header, &mut out).unwrap().consumed, 16);
    for _ in 0..(1 << 20) / payload.len() {
        assert_eq!(server.input(&payload, &mut out).unwrap().consumed, payload.len());
    }
    assert_eq!(counting::allocations(), before);
    assert!(!out.is_empty(), "an answer");
}

/// As many queries as there can be, of the shortest kind, with a count that claims more.
#[test]
fn queries_are_kept_as_they_are_while_an_answer_is_awaited() {
    let queries = vec!["a:"; 2000];
    let request = bytes::option(&bytes::set_contexts("", &queries));
    let (mut out, mut kept) = (Vec::with_capacity(1 << 16), 0);
    let mut server = server(&mut out);
    for _ in 0..100 {
        let before = counting::bytes();
        assert_eq!(server.input(&request, &mut out).unwrap().consumed, request.len());
        kept = counting::bytes() - before;
        server.refuse(nbd_proto::wire::number::ReplyType::ERR_UNKNOWN, "", &mut out).unwrap();
        assert_eq!(counting::bytes(), before, "nothing stays behind the answer");
    }
    assert!(kept > 0 && kept <= request.len(), "{kept} bytes for {} on the wire", request.len());
}

#[test]
fn a_count_that_is_only_claimed_costs_nothing() {
    for payload in [&b"\0\0\0\0\xff\xff\xff\xff"[..], b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0\xff\xff"] {
        for option in [OptionCode::SET_META_CONTEXT, OptionCode::LIST_META_CONTEXT, OptionCode::GO] {
            let mut out = Vec::with_capacity(1 << 16);
            let mut server = server(&mut out);
            let request = bytes::raw(option, payload);
            let before = counting::bytes();
            let result: Result<_, Error> = server.input(&request, &mut out);
            assert_eq!(result.unwrap().event, None);
            assert!(counting::bytes() <= before + 256);
        }
    }
}
