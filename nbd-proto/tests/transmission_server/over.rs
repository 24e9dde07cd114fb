//! Once the connection is over every call is harmless.

use nbd_proto::error::{Error, Refused};
use nbd_proto::transmission::ReadPart;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{CommandType, ErrorValue};

use crate::client::request;
use crate::harness::{Link, each_style};

fn assert_over(link: &mut Link) -> Error {
    let error = link.error.clone().expect("the connection is over");
    assert_eq!((link.server.in_flight(), link.server.landing()), (0, None));
    assert_eq!((link.server.wants_read(), link.server.wants_write()), (false, false));
    assert_eq!(link.server.outbound().count(), 0);
    for number in 0..link.requests.len() {
        let id = link.id(number);
        assert_eq!(link.server.receive(id), Err(Refused::Closed));
        assert_eq!(link.finish(number), Err(Refused::Closed));
        assert_eq!(link.finish_read(number, &[ReadPart::Data(1)]), Err(Refused::Closed));
        assert_eq!(link.finish_status(number, &[]), Err(Refused::Closed));
        assert_eq!(link.fail(number, ErrorValue::EIO), Err(Refused::Closed));
        assert_eq!(link.server.contexts(id), []);
    }
    link.server.sent(100);
    link.server.landed(100);
    link.server.begin_shutdown();
    link.server.eof();
    link.server.give_up("too late");
    for bytes in [&b""[..], b"more", &[0; 100]] {
        assert_eq!(link.server.input(bytes), Err(error.clone()));
    }
    assert_eq!(link.server.over(), Some(&error));
    error
}

/// A request of each kind, in each stage there is.
fn busy(link: &mut Link) {
    link.ask(1, CommandType::READ, 0, 10);
    link.ask(2, CommandType::FLUSH, 0, 0);
    link.ask(3, CommandType(77), 0, 0);
    link.ask(4, CommandType::READ, 0, 10);
    link.finish_read(0, &[ReadPart::Data(10)]).unwrap();
    link.finish(1).unwrap();
    link.feed(&request(link.style, 5, CommandType::WRITE, CommandFlags::empty(), 0, 10));
    link.feed(b"data");
}

#[test]
fn after_it_was_given_up() {
    each_style(|link| {
        busy(link);
        link.server.give_up("the cable is gone");
        link.poll();
        assert_eq!(assert_over(link).to_string(), "the cable is gone");
    });
}

#[test]
fn after_the_client_hung_up() {
    each_style(|link| {
        busy(link);
        link.eof();
        assert_over(link);
    });
}

#[test]
fn after_the_client_broke_a_rule() {
    each_style(|link| {
        busy(link);
        link.feed(b"a data");
        link.feed(b"GET / HTTP/1.1");
        assert!(matches!(assert_over(link), Error::InvalidMessage(_)));
    });
}

#[test]
fn before_the_caller_has_fetched_what_is_due() {
    each_style(|link| {
        busy(link);
        link.server.give_up("gone");
        // Nothing is sent, or taken, any more, though the requests have not had their `Done`.
        assert_eq!((link.server.landing(), link.server.outbound().count()), (None, 0));
        assert_eq!(link.finish(2), Err(Refused::Closed));
        link.server.landed(6);
        link.server.sent(1000);
        link.poll();
        assert_over(link);
    });
}
