//! CVE-2022-0485: a copy takes the end of a read for its success, and writes on what the failed read left in its buffer.
//!
//! We promise: the end of each command says whether it failed; a read for which the server claims success without having
//! sent every byte fails as well. What a copy makes of it is tested with the command `nbd`.

use nbd_proto::error::CommandError;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::Chunk;
use nbd_proto::wire::number::ErrorValue;

use crate::client::harness::{CHUNKED, STYLES, Seen, link};
use crate::client::server::{LAST, MORE, data, failed, failed_at, hole, simple};

const LENGTH: u64 = 1024;

fn is_failure(event: Option<&Seen>) -> bool {
    matches!(event, Some(Seen::Done(_, Err(CommandError::Server(error)))) if error.error == ErrorValue::EIO)
}

#[test]
fn a_read_that_failed_is_told_as_failed() {
    for style in STYLES {
        let mut link = link(style);
        let (fails, good) = (link.submit(Command::read(0, LENGTH)), link.submit(Command::read(LENGTH, LENGTH)));
        match style {
            ReplyStyle::Simple => {
                link.feed(&simple(fails, ErrorValue::EIO));
                link.feed(&[simple(good, ErrorValue(0)), vec![7; LENGTH as usize]].concat());
            }
            _ => {
                link.feed(&link.chunk(fails, LAST, &failed(ErrorValue::EIO, b"")));
                link.feed(&link.chunk(good, LAST, &data(LENGTH, &[7; LENGTH as usize])));
            }
        }
        let seen = link.seen();
        assert!(is_failure(seen.iter().find(|event| matches!(event, Seen::Done(cookie, _) if *cookie == fails))));
        assert!(seen.contains(&Seen::Done(good, Ok(()))));
        assert!(!seen.iter().any(|event| matches!(event, Seen::Data(cookie, _) if *cookie == fails)));
    }
}

/// Even if all of its bytes have come before the error, or behind it.
#[test]
fn an_error_among_the_chunks_fails_the_whole_read() {
    for style in CHUNKED {
        for error_first in [true, false] {
            let mut link = link(style);
            let read = link.submit(Command::read(0, LENGTH));
            let half = data(0, &[7; 512]);
            let (content, error) = (|flags| link.chunk(read, flags, &half), failed_at(ErrorValue::EIO, 512));
            let reply = if error_first {
                [link.chunk(read, MORE, &error), content(LAST)].concat()
            } else {
                [content(MORE), link.chunk(read, LAST, &error)].concat()
            };
            link.feed(&reply);
            assert!(is_failure(link.seen().last()), "{:?}", link.error);
        }
    }
}

#[test]
fn a_read_that_is_short_of_bytes_fails_though_the_server_claims_success() {
    for style in CHUNKED {
        for parts in [&[][..], &[(0, 512)], &[(0, 511), (512, 512)]] {
            let mut link = link(style);
            let read = link.submit(Command::read(0, LENGTH));
            for (offset, length) in parts {
                link.feed(&link.chunk(read, MORE, &hole(*offset, *length)));
            }
            link.feed(&link.chunk(read, LAST, &Chunk::None));
            let covered = parts.iter().map(|(_, length)| u64::from(*length)).sum();
            let short = CommandError::Incomplete { covered, length: LENGTH };
            assert_eq!(link.seen().last(), Some(&Seen::Done(read, Err(short))));
        }
    }
}
