//! A server that shuts down: what is in flight goes on, and "the error value issued in respect of [...] any
//! subsequently received requests SHOULD be `NBD_ESHUTDOWN`" (spec, *Terminating the transmission phase*).

use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::CommandType;

use crate::client::request;
use crate::harness::{Seen, each_style};

const ESHUTDOWN: u32 = 108;

#[test]
fn requests_in_flight_are_answered_as_ever() {
    each_style(|link| {
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.consents = false;
        link.feed(&request(link.style, 2, CommandType::WRITE, CommandFlags::empty(), 0, 4));
        link.server.begin_shutdown();
        link.server.receive(link.id(1)).unwrap();
        link.feed(b"data");
        link.finish(1).unwrap();
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(2, 0), (1, 0)]);
        assert_eq!(link.buffers[1], b"data");
    });
}

#[test]
fn whatever_comes_later_is_refused() {
    each_style(|link| {
        link.server.begin_shutdown();
        for command in 0..10 {
            if command == 2 {
                continue;
            }
            let command = CommandType(command);
            link.ask(1, command, 0, 4);
            link.ask_with(2, command, CommandFlags::DF, u64::MAX, 4);
            link.ask(3, command, 0, 0);
            assert_eq!(link.answers(), [(1, ESHUTDOWN), (2, ESHUTDOWN), (3, ESHUTDOWN)], "{command}");
        }
        assert_eq!((link.seen(), link.server.in_flight()), (vec![], 0));
    });
}

#[test]
fn payload_is_skipped_first() {
    each_style(|link| {
        link.server.begin_shutdown();
        link.feed(&request(link.style, 1, CommandType::WRITE, CommandFlags::empty(), 0, 30));
        link.feed(&[0; 29]);
        assert!(!link.server.wants_write());
        link.feed(&[0]);
        assert_eq!(link.answers(), [(1, ESHUTDOWN)]);
    });
}

// "If the client receives an `NBD_ESHUTDOWN` error it MUST initiate a soft disconnect."
#[test]
fn a_disconnect_is_heard() {
    each_style(|link| {
        link.server.begin_shutdown();
        link.ask(1, CommandType::FLUSH, 0, 0);
        link.ask(2, CommandType::DISC, 0, 0);
        assert_eq!((link.seen(), link.server.is_finished()), (vec![Seen::Disconnect], false));
        assert_eq!((link.answers(), link.server.is_finished()), (vec![(1, ESHUTDOWN)], true));
    });
}
