//! What servers do that the letter does not allow, or that says less than it could, without harm to the link.

use nbd_proto::error::{CommandError, ServerError};
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Extent};
use nbd_proto::wire::chunk::{Chunk, ErrorChunk};
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::{ChunkType, CommandType, Cookie, ErrorValue};

use crate::harness::{BASE, BITMAP, CHUNKED, Link, STYLES, Seen, Setup, link};
use crate::server::{LAST, MORE, data, failed, failed_at, hole, simple};

const EIO: ErrorValue = ErrorValue::EIO;

fn server_error(command: CommandType, error: ErrorValue, message: &str, offset: Option<u64>) -> CommandError {
    CommandError::Server(ServerError { command, error, message: message.to_owned(), offset }.into())
}

/// The last event is a failed `Done`, and the link still works.
#[track_caller]
fn assert_failed(link: &mut Link, cookie: Cookie, expected: CommandError) {
    assert_eq!(link.seen().last(), Some(&Seen::Done(cookie, Err(expected))));
    assert_eq!(link.error, None);
    let next = link.submit(Command::flush());
    let reply = if link.style == ReplyStyle::Simple {
        simple(next, ErrorValue(0))
    } else {
        link.chunk(next, LAST, &Chunk::None)
    };
    link.feed(&reply);
    assert_eq!(link.seen(), [Seen::Done(next, Ok(()))]);
}

#[test]
fn a_gap_fails_the_command_and_not_the_link() {
    for style in CHUNKED {
        for (pieces, covered) in [
            (&[][..], 0),
            (&[(0, 512)], 512),
            (&[(1, 1023)], 1023),
            (&[(0, 1023)], 1023),
            (&[(0, 500), (501, 523)], 1023),
        ] {
            let mut link = link(style);
            let cookie = link.submit(Command::read(4096, 1024));
            for (at, length) in pieces {
                link.feed(&link.chunk(cookie, MORE, &hole(4096 + at, *length)));
            }
            link.feed(&link.chunk(cookie, LAST, &Chunk::None));
            assert_failed(&mut link, cookie, CommandError::Incomplete { covered, length: 1024 });
        }
    }
}

#[test]
fn content_that_is_last_and_leaves_a_gap_fails_the_command() {
    for style in CHUNKED {
        for content in [data(4096, &[1; 512]), hole(4096, 512)] {
            let mut link = link(style);
            let cookie = link.submit(Command::read(4096, 1024));
            link.feed(&link.chunk(cookie, LAST, &content));
            assert_failed(&mut link, cookie, CommandError::Incomplete { covered: 512, length: 1024 });
        }
    }
}

#[test]
fn an_unknown_error_chunk_fails_the_command_and_not_the_link() {
    for style in CHUNKED {
        for command in [Command::read(0, 512), Command::flush(), Command::block_status(0, 512)] {
            for number in [0x8000, 0x8003, 0xffff] {
                let mut link = link(style);
                let cookie = link.submit(command);
                let chunk = ChunkType(number);
                let unknown = ErrorChunk { chunk, error: EIO, message: b"odd", offset: None, rest: b"more fields" };
                link.feed(&link.chunk(cookie, LAST, &Chunk::Error(unknown)));
                assert_eq!(link.events[0], Seen::Failure(cookie, chunk, EIO));
                assert_failed(&mut link, cookie, server_error(command.command, EIO, "odd", None));
            }
        }
    }
}

#[test]
fn an_unknown_error_number_counts_as_einval() {
    for style in STYLES {
        for number in [2, 13, 111, u32::MAX] {
            let mut link = link(style);
            let cookie = link.submit(Command::write(0, 512));
            let error = ErrorValue(number);
            let reply = match style {
                ReplyStyle::Simple => simple(cookie, error),
                _ => link.chunk(cookie, LAST, &failed(error, b"")),
            };
            link.feed(&reply);
            let Some(Seen::Done(_, Err(CommandError::Server(told)))) = link.events.last() else {
                panic!("{:?}", link.events)
            };
            assert_eq!((told.error, told.error.known()), (error, ErrorValue::EINVAL));
            assert_failed(&mut link, cookie, server_error(CommandType::WRITE, error, "", None));
        }
    }
}

#[test]
fn the_first_error_wins() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::read(4096, 512));
        link.feed(&link.chunk(cookie, MORE, &failed_at(EIO, 4100)));
        link.feed(&link.chunk(cookie, MORE, &failed(ErrorValue::ENOMEM, b"second")));
        link.feed(&link.chunk(cookie, LAST, &Chunk::None));
        let failures = [ChunkType::ERROR_OFFSET, ChunkType::ERROR].into_iter().zip([EIO, ErrorValue::ENOMEM]);
        let failures: Vec<_> = failures.map(|(chunk, error)| Seen::Failure(cookie, chunk, error)).collect();
        assert_eq!(link.events[..2], failures);
        assert_failed(&mut link, cookie, server_error(CommandType::READ, EIO, "", Some(4100)));
    }
}

#[test]
fn an_error_wins_over_a_gap_and_over_missing_contexts() {
    for style in CHUNKED {
        let mut link = link(style);
        let read = link.submit(Command::read(0, 512));
        let status = link.submit(Command::block_status(0, 512));
        link.feed(&link.chunk(read, LAST, &failed(EIO, b"")));
        assert_failed(&mut link, read, server_error(CommandType::READ, EIO, "", None));
        link.feed(&link.chunk(status, LAST, &failed(EIO, b"")));
        assert_failed(&mut link, status, server_error(CommandType::BLOCK_STATUS, EIO, "", None));
    }
}

#[test]
fn content_may_follow_an_error_elsewhere_and_precede_one_in_its_midst() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::read(4096, 1024));
        link.feed(&link.chunk(cookie, MORE, &data(4096, &[1; 256])));
        link.feed(&link.chunk(cookie, MORE, &failed_at(EIO, 4100)));
        link.feed(&link.chunk(cookie, MORE, &failed_at(EIO, 4100)));
        link.feed(&link.chunk(cookie, MORE, &failed_at(EIO, 4096 + 300)));
        link.feed(&link.chunk(cookie, MORE, &data(4096 + 512, &[2; 512])));
        link.feed(&link.chunk(cookie, LAST, &hole(4096 + 301, 211)));
        assert_eq!(link.buffers[&cookie][512..], [2; 512]);
        assert_failed(&mut link, cookie, server_error(CommandType::READ, EIO, "", Some(4100)));
    }
}

#[test]
fn a_full_read_with_an_error_has_failed() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::read(0, 512));
        link.feed(&link.chunk(cookie, MORE, &hole(0, 512)));
        link.feed(&link.chunk(cookie, LAST, &failed(EIO, b"sorry \xff\x1b[2J")));
        assert_failed(&mut link, cookie, server_error(CommandType::READ, EIO, "sorry \u{fffd}\x1b[2J", None));
    }
}

#[test]
fn text_of_a_server_is_escaped_where_it_is_shown() {
    let error = server_error(CommandType::READ, EIO, "a\x1b[2Jb\n", None).to_string();
    assert!(error.contains("a\\u{1b}[2Jb\\n"), "{error}");
}

#[test]
fn an_error_offset_for_a_flush_fails_the_command_and_not_the_link() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::flush());
        link.feed(&link.chunk(cookie, LAST, &failed_at(EIO, 77)));
        assert_failed(&mut link, cookie, server_error(CommandType::FLUSH, EIO, "", Some(77)));
    }
}

#[test]
fn the_last_extent_may_go_past_the_request() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::block_status(512, 512));
        link.feed(&link.status(cookie, MORE, BASE, &[(4096, 3)]));
        link.feed(&link.status(cookie, LAST, BITMAP, &[(100, 0), (8192, 1)]));
        let base = vec![Extent { offset: 512, length: 4096, flags: 3 }];
        let bitmap =
            vec![Extent { offset: 512, length: 100, flags: 0 }, Extent { offset: 612, length: 8192, flags: 1 }];
        let expected =
            [Seen::Extents(cookie, BASE, base), Seen::Extents(cookie, BITMAP, bitmap), Seen::Done(cookie, Ok(()))];
        assert_eq!(link.seen(), expected);
    }
}

#[test]
fn an_extent_past_the_end_of_the_export_is_cut_there() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        setup.size = 1000;
        let wide = if style == ReplyStyle::Extended { u64::MAX } else { u64::from(u32::MAX) };
        for past in [513, 1024, wide] {
            let mut link = setup.link();
            let cookie = link.submit(Command::block_status(0, 1000));
            link.feed(&link.status(cookie, MORE, BASE, &[(512, 0), (past, 3)]));
            let cut = vec![Extent { offset: 0, length: 512, flags: 0 }, Extent { offset: 512, length: 488, flags: 3 }];
            assert_eq!(link.seen(), [Seen::Extents(cookie, BASE, cut)]);
        }
    }
}

/// A server that counts in blocks has no shorter extent to give for a tail that is not whole.
#[test]
fn a_single_extent_is_cut_at_the_end_of_the_export_before_it_is_held_against_the_request() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        setup.size = 1000;
        let mut link = setup.link();
        let cookie = link.submit(Command::block_status(512, 488).with_flags(CommandFlags::REQ_ONE));
        link.feed(&link.status(cookie, MORE, BASE, &[(512, 0)]));
        link.feed(&link.status(cookie, LAST, BITMAP, &[(488, 0)]));
        let extents = vec![Extent { offset: 512, length: 488, flags: 0 }];
        let expected = [
            Seen::Extents(cookie, BASE, extents.clone()),
            Seen::Extents(cookie, BITMAP, extents),
            Seen::Done(cookie, Ok(())),
        ];
        assert_eq!(link.seen(), expected);
    }
}

#[test]
fn the_first_extent_is_welcome_even_for_a_range_of_nothing() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        setup.settings = setup.settings.with_checks(!nbd_proto::transmission::Checks::EMPTY);
        let mut link = setup.link();
        let cookie = link.submit(Command::block_status(512, 0));
        link.feed(&link.status(cookie, MORE, BASE, &[(64, 0)]));
        assert_eq!(link.seen(), [Seen::Extents(cookie, BASE, vec![Extent { offset: 512, length: 64, flags: 0 }])]);
    }
}

#[test]
fn extents_need_not_be_aligned() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        let (minimum, preferred, maximum) = (4096, 4096, 1 << 25);
        setup.sizes = Some(nbd_proto::wire::info::BlockSizes { minimum, preferred, maximum });
        let mut link = setup.link();
        let cookie = link.submit(Command::block_status(4096, 8192));
        link.feed(&link.status(cookie, MORE, BASE, &[(1, 0), (510, 1), (4097, 2)]));
        let [first, second, third] = [(4096, 1, 0), (4097, 510, 1), (4607, 4097, 2)]
            .map(|(offset, length, flags)| Extent { offset, length, flags });
        assert_eq!(link.seen(), [Seen::Extents(cookie, BASE, vec![first, second, third])]);
    }
}

#[test]
fn fewer_extents_than_the_range_needs_are_an_answer() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::block_status(0, 8192));
        link.feed(&link.status(cookie, MORE, BITMAP, &[(1, 0)]));
        link.feed(&link.status(cookie, MORE, BASE, &[(512, 0)]));
        link.seen();
        link.feed(&link.chunk(cookie, LAST, &Chunk::None));
        assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
    }
}

#[test]
fn flags_of_base_allocation_that_nobody_knows_are_told_as_they_are() {
    let mut link = link(ReplyStyle::Structured);
    let cookie = link.submit(Command::block_status(0, 512));
    link.feed(&link.status(cookie, MORE, BASE, &[(512, 0xffff_ffff)]));
    let extents = vec![Extent { offset: 0, length: 512, flags: 0xffff_ffff }];
    assert_eq!(link.seen(), [Seen::Extents(cookie, BASE, extents)]);
}
