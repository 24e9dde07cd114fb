//! A flush has no range: "*length* and *offset* are reserved, and MUST be set to all-zero".

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Failure;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::chunks;
use crate::harness::each_style;

#[test]
fn a_range_that_comes_nevertheless_is_not_shown() {
    each_style(|link| {
        link.ask(7, CommandType::FLUSH, u64::MAX, 512);
        assert_eq!((link.requests[0].offset, link.requests[0].length), (0, 0));
        link.finish(0).unwrap();
        let answer = &chunks(&link.send_all())[0];
        assert_eq!((answer.cookie, answer.error()), (7, 0));
        // "MUST match the *offset* of the client's request"
        assert_eq!(answer.offset, (link.style == ReplyStyle::Extended).then_some(u64::MAX));
    });
}

// `NBD_REPLY_TYPE_ERROR_OFFSET` is valid "as a reply to `NBD_CMD_READ`, [...]": a flush is not among them.
#[test]
fn its_error_has_no_place() {
    each_style(|link| {
        link.ask(7, CommandType::FLUSH, 0, 512);
        let failure = Failure { error: ErrorValue::EIO, message: "", offset: Some(0) };
        link.server.fail(link.id(0), &failure).unwrap();
        let answer = &chunks(&link.send_all())[0];
        assert_eq!((answer.error(), answer.kind.unwrap_or(0x8001)), (5, 0x8001));
    });
}
