//! The flag `PAYLOAD_LEN` of extended headers (extended-headers extension, *Command flags*).

use nbd_proto::error::{Error, PeerMisbehaved};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::raw_request;
use crate::harness::{Link, Seen, each_way};
use crate::setup::Setup;

const PAYLOAD_LEN: u16 = 1 << 5;

#[track_caller]
fn play(scene: impl Fn(&mut Link)) {
    each_way(&Setup::new(ReplyStyle::Extended), scene);
}

// "The command `NBD_CMD_WRITE` MUST use the flag"; the page on deviations says why one without it is carried out.
#[test]
fn a_write_has_a_payload_with_and_without_it() {
    play(|link| {
        for (number, flags) in [0, PAYLOAD_LEN, 1, PAYLOAD_LEN | 1].into_iter().enumerate() {
            link.feed(&raw_request(true, 7, 1, flags, 512, 4));
            link.feed(b"data");
            let told = link.requests[number];
            let shown = CommandFlags::from_bits_retain(flags & 1);
            assert_eq!((told.command, told.flags, told.offset, told.length), (CommandType::WRITE, shown, 512, 4));
            assert_eq!(link.buffers[number], b"data");
            link.finish(number).unwrap();
            assert_eq!(link.answers(), [(7, 0)]);
        }
    });
}

// "in all other cases, a server SHOULD gracefully consume *length* bytes of payload (even if it then replies with an
// `NBD_EINVAL` failure because the particular command was not expecting a payload)"
#[test]
fn on_any_other_command_the_payload_is_skipped_and_the_request_refused() {
    play(|link| {
        for command in [0, 3, 4, 5, 6, 8, 9, 0xffff] {
            link.feed(&raw_request(true, 7, command, PAYLOAD_LEN, 0, 50));
            link.feed(&[0x25; 49]);
            assert!(!link.server.wants_write());
            link.feed(&[0x25]);
            assert_eq!(link.answers(), [(7, 22)], "command {command}");
        }
        assert_eq!((link.seen(), link.pending.len()), (vec![], 0));
    });
}

#[test]
fn with_a_length_of_0_there_is_nothing_to_skip() {
    play(|link| {
        for command in [0, 3, 4, 5, 6, 7, 8] {
            link.feed(&raw_request(true, 7, command, PAYLOAD_LEN, 0, 0));
            assert_eq!(link.answers(), [(7, 22)], "command {command}");
        }
        link.feed(&raw_request(true, 7, 1, PAYLOAD_LEN, 0, 0));
        assert_eq!(link.answers(), [(7, 0)]);
    });
}

#[test]
fn a_payload_that_no_command_has_is_not_skipped_without_bound() {
    play(|link| {
        link.feed(&raw_request(true, 7, 0, PAYLOAD_LEN, 0, u64::MAX));
        let (command, length, limit) = (CommandType::READ, u64::MAX, 64 << 20);
        assert_eq!(link.error, Some(Error::from(PeerMisbehaved::PayloadTooLong { command, length, limit })));
    });
}

#[test]
fn a_disconnect_may_carry_it() {
    play(|link| {
        link.feed(&raw_request(true, 7, 2, PAYLOAD_LEN, 0, 50));
        assert_eq!((link.seen(), link.server.is_finished()), (vec![Seen::Disconnect], true));
    });
}
