//! Requests are told apart by the server's own names: cookies are the client's, and may repeat.

use nbd_proto::error::Refused;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::harness::{Seen, each_style};

const FLUSH: CommandType = CommandType::FLUSH;

#[test]
fn a_cookie_that_is_used_twice_at_once_names_two_requests() {
    each_style(|link| {
        link.ask(7, FLUSH, 0, 0);
        link.ask(7, FLUSH, 0, 0);
        link.ask(7, CommandType(77), 0, 0);
        assert_ne!(link.id(0), link.id(1));
        link.fail(1, ErrorValue::EIO).unwrap();
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(7, 22), (7, 5), (7, 0)]);
        assert_eq!(link.seen()[2..], [Seen::Done(1, true), Seen::Done(0, true)]);
    });
}

#[test]
fn any_cookie_comes_back_as_it_was() {
    each_style(|link| {
        for cookie in [0, 1, u64::MAX, 1 << 63, 0x0102_0304_0506_0708] {
            link.ask(cookie, FLUSH, 0, 0);
            link.finish(link.requests.len() - 1).unwrap();
            assert_eq!(link.answers(), [(cookie, 0)]);
        }
    });
}

#[test]
fn a_name_that_was_used_up_names_nothing() {
    each_style(|link| {
        link.ask(7, FLUSH, 0, 0);
        link.finish(0).unwrap();
        link.send_all();
        // The same place, another name.
        link.ask(7, FLUSH, 0, 0);
        assert_eq!(link.id(0).slot(), link.id(1).slot());
        assert!(matches!(link.finish(0), Err(Refused::Answer { .. })));
        assert!(matches!(link.fail(0, ErrorValue::EIO), Err(Refused::Answer { .. })));
        assert!(matches!(link.server.receive(link.id(0)), Err(Refused::Answer { .. })));
        assert_eq!((link.server.contexts(link.id(0)).len(), link.outbound()), (0, vec![]));
        link.finish(1).unwrap();
        assert_eq!(link.answers(), [(7, 0)]);
    });
}

#[test]
fn a_name_prints_as_a_number() {
    each_style(|link| {
        link.ask(7, FLUSH, 0, 0);
        assert_eq!(format!("{:?}", link.id(0)), "RequestId(0x100000000)");
    });
}
