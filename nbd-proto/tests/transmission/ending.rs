//! How connections end: by us, by the server, in the middle of something.

use nbd_proto::error::{CommandError, Ended, Error, Refused};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::number::{Cookie, ErrorValue};

use crate::harness::{BASE, BITMAP, CHUNKED, Link, STYLES, Seen, link, patterns};
use crate::server::{LAST, MORE, OK, data, failed, hole, simple};

fn inside() -> Error {
    Ended::InMessage { within: "a reply" }.into()
}

fn boundary(awaiting: &'static str) -> Error {
    Ended::AtBoundary { awaiting }.into()
}

/// Replies to a read and a flush in every shape, and where each message ends.
fn stream(link: &Link, [read, status, flush]: [Cookie; 3]) -> (Vec<u8>, Vec<usize>) {
    let messages = match link.style {
        ReplyStyle::Simple => {
            vec![simple(flush, OK), [simple(read, OK), patterns(0..64)].concat(), simple(status, ErrorValue::EIO)]
        }
        _ => vec![
            link.chunk(read, MORE, &data(0, &patterns(0..32))),
            link.status(status, MORE, BASE, &[(512, 0), (512, 1)]),
            link.chunk(flush, LAST, &failed(ErrorValue::EIO, b"text")),
            link.chunk(read, LAST, &hole(32, 32)),
            link.status(status, LAST, BITMAP, &[(1, 0)]),
        ],
    };
    let ends = messages.iter().scan(0, |end, message| {
        *end += message.len();
        Some(*end)
    });
    let ends = ends.collect();
    (messages.concat(), ends)
}

// T3
#[test]
fn end_of_stream_is_clean_between_replies_and_told_apart_inside_one() {
    for style in STYLES {
        for land in [false, true] {
            let start = || {
                let mut link = link(style);
                let read = link.submit(Command::read(0, 64));
                let second =
                    if style == ReplyStyle::Simple { Command::flush() } else { Command::block_status(0, 1024) };
                let status = link.submit(second);
                let flush = link.submit(Command::flush());
                let (bytes, ends) = stream(&link, [read, status, flush]);
                (link, bytes, ends)
            };
            let (_, whole, ends) = start();
            for cut in 0..=whole.len() {
                let (mut link, bytes, _) = start();
                if land {
                    link.receive(&bytes[..cut]);
                } else {
                    link.feed(&bytes[..cut]);
                }
                link.client.eof();
                link.feed(&[]);
                let clean = cut == 0 || ends.contains(&cut);
                let expected = match cut == whole.len() {
                    true => boundary("a request"),
                    false if clean => boundary("a reply"),
                    false => inside(),
                };
                assert_eq!(link.assert_over(), expected, "{style} cut at {cut}");
            }
        }
    }
}

// T3
#[test]
fn a_look_for_events_does_not_make_a_cut_clean() {
    for style in STYLES {
        let mut link = link(style);
        let cookie = link.submit(Command::flush());
        let reply =
            if style == ReplyStyle::Simple { simple(cookie, OK) } else { link.chunk(cookie, LAST, &Chunk::None) };
        link.feed(&reply[..5]);
        link.poll();
        link.client.eof();
        link.poll();
        assert_eq!(link.assert_over(), inside());
    }
}

#[test]
fn end_of_stream_fails_what_was_in_flight() {
    for style in STYLES {
        let mut link = link(style);
        let cookies = [Command::read(0, 64), Command::flush()].map(|command| link.submit(command));
        link.client.eof();
        link.poll();
        let error = link.assert_over();
        assert_eq!(error, boundary("a reply"));
        let failed = |cookie| Seen::Done(cookie, Err(CommandError::Connection(error.clone())));
        let mut events = link.seen();
        events.sort_by_key(|event| if let Seen::Done(cookie, _) = event { *cookie } else { Cookie(0) });
        assert_eq!(events, cookies.map(failed));
    }
}

#[test]
fn a_disconnect_lets_the_answers_in_flight_come() {
    for style in STYLES {
        let mut link = link(style);
        let cookie = link.submit(Command::flush());
        link.client.disconnect().unwrap();
        assert_eq!((link.client.room(), link.client.wants_write()), (0, true));
        assert_eq!(link.client.submit(Command::flush()), Err(Refused::Closed));
        assert_eq!(link.client.disconnect(), Err(Refused::Closed));
        link.send(usize::MAX);
        let reply =
            if style == ReplyStyle::Simple { simple(cookie, OK) } else { link.chunk(cookie, LAST, &Chunk::None) };
        link.feed(&reply);
        assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
        link.client.eof();
        link.poll();
        assert_eq!(link.assert_over(), Ended::ByUs.into());
        assert_eq!(link.client.submit(Command::flush()), Err(Refused::Closed));
        assert_eq!(link.client.disconnect(), Err(Refused::Closed));
    }
}

#[test]
fn a_disconnect_before_which_commands_are_queued_goes_behind_them() {
    let mut link = link(ReplyStyle::Simple);
    link.queue(Command::write(0, 512));
    link.client.disconnect().unwrap();
    let bytes = link.outbound();
    assert_eq!((bytes.len(), &bytes[28 + 512 + 6..][..2]), (28 + 512 + 28, &[0, 2][..]));
}

#[test]
fn an_end_that_was_asked_for_is_clean_only_when_all_was_answered_and_sent() {
    // An answer is missing.
    let mut first = link(ReplyStyle::Simple);
    first.submit(Command::flush());
    first.client.disconnect().unwrap();
    first.send(usize::MAX);
    first.client.eof();
    first.poll();
    assert_eq!(first.assert_over(), boundary("a reply"));
    // The disconnect did not go out.
    let mut second = link(ReplyStyle::Simple);
    second.client.disconnect().unwrap();
    second.send(27);
    second.client.eof();
    second.poll();
    assert_eq!(second.assert_over(), boundary("a request"));
}

#[test]
fn an_answer_whose_done_was_not_fetched_yet_is_an_answer() {
    let mut link = link(ReplyStyle::Simple);
    let cookie = link.submit(Command::read(0, 4));
    link.client.disconnect().unwrap();
    link.send(usize::MAX);
    link.feed(&simple(cookie, OK));
    link.client.landed(4);
    link.client.eof();
    link.poll();
    assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
    assert_eq!(link.assert_over(), Ended::ByUs.into());
}

#[test]
fn what_had_ended_before_the_connection_did_keeps_its_result() {
    for style in CHUNKED {
        let mut link = link(style);
        let ok = link.submit(Command::flush());
        let bad = link.submit(Command::trim(0, 512));
        let replies = [
            link.chunk(ok, LAST, &Chunk::None),
            link.chunk(bad, LAST, &failed(ErrorValue::EIO, b"")),
            b"not NBD".to_vec(),
        ];
        link.feed(&replies.concat());
        link.assert_over();
        let events = link.seen();
        assert_eq!(events[0], Seen::Done(ok, Ok(())));
        assert!(matches!(&events[2], Seen::Done(cookie, Err(CommandError::Server(_))) if *cookie == bad));
    }
}

#[test]
fn a_connection_can_be_given_up() {
    for style in STYLES {
        let mut link = link(style);
        let cookie = link.submit(Command::write(0, 512));
        link.client.give_up("no answer for 5 seconds\x1b");
        link.poll();
        let error = link.assert_over();
        assert_eq!(error, Ended::GivenUp { reason: "no answer for 5 seconds\x1b".to_owned() }.into());
        assert_eq!(error.to_string(), "no answer for 5 seconds\\u{1b}");
        assert_eq!(link.seen(), [Seen::Done(cookie, Err(CommandError::Connection(error)))]);
    }
}

#[test]
fn the_first_end_stays() {
    let mut link = link(ReplyStyle::Simple);
    link.client.give_up("first");
    link.client.eof();
    link.client.give_up("second");
    link.poll();
    assert_eq!(link.assert_over(), Ended::GivenUp { reason: "first".to_owned() }.into());
}

#[test]
fn a_server_that_shuts_down_says_so_by_an_error() {
    for style in STYLES {
        let mut link = link(style);
        let cookies = [Command::flush(), Command::flush()].map(|command| link.submit(command));
        let error = |link: &Link, cookie, value| match style {
            ReplyStyle::Simple => simple(cookie, value),
            _ => link.chunk(cookie, LAST, &failed(value, b"")),
        };
        link.feed(&error(&link, cookies[0], ErrorValue::EIO));
        assert!(!link.client.is_shutting_down());
        link.feed(&error(&link, cookies[1], ErrorValue::ESHUTDOWN));
        assert!(link.client.is_shutting_down());
        // The connection goes on until somebody disconnects.
        assert_eq!(link.error, None);
        assert!(link.client.disconnect().is_ok());
    }
}

#[test]
fn a_shutdown_counts_although_another_error_came_first() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::flush());
        link.feed(&link.chunk(cookie, MORE, &failed(ErrorValue::EIO, b"")));
        assert!(!link.client.is_shutting_down());
        link.feed(&link.chunk(cookie, LAST, &failed(ErrorValue::ESHUTDOWN, b"")));
        assert!(link.client.is_shutting_down());
    }
}

#[test]
fn many_commands_in_flight_end_in_no_time() {
    let mut setup = crate::harness::Setup::new(ReplyStyle::Simple);
    setup.settings = setup.settings.with_max_in_flight(65_536);
    let mut link = setup.link();
    let cookies: Vec<_> = (0..65_536).map(|_| link.queue(Command::flush())).collect();
    link.send(usize::MAX);
    // Every other one is answered, so that there are as many free slots as taken ones.
    let replies: Vec<u8> = cookies.iter().step_by(2).flat_map(|cookie| simple(*cookie, OK)).collect();
    link.feed(&replies);
    link.client.eof();
    link.poll();
    link.assert_over();
    assert_eq!(link.seen().len(), 65_536);
}
