//! A receive buffer of `MIN_INPUT_BUFFER` bytes is enough for anything, however messages lie in it.

use nbd_proto::limits::{MAX_EXTENTS, MAX_STRING, MIN_INPUT_BUFFER};
use nbd_proto::transmission::Command;
use nbd_proto::wire::chunk::{Chunk, ErrorChunk};
use nbd_proto::wire::number::{ChunkType, ErrorValue};

use crate::harness::{BASE, BITMAP, CHUNKED, Link, STYLES, Seen, Setup, patterns};
use crate::server::{LAST, MORE, OK, data, hole, simple};

/// Plays a stream through a receive buffer of `size` bytes that is always as full as can be.
fn play(link: &mut Link, stream: &[u8], size: usize) {
    let mut at = 0;
    while at < stream.len() {
        let window = &stream[at..stream.len().min(at + size)];
        let before = link.pending.len();
        assert_eq!(before, 0);
        link.feed(window);
        let left = std::mem::take(&mut link.pending).len();
        assert!(left < window.len(), "no progress with {} bytes", window.len());
        at += window.len() - left;
    }
}

#[test]
fn the_longest_messages_fit() {
    for style in CHUNKED {
        let mut setup = Setup::new(style);
        setup.size = 1 << 40;
        for shift in [0, 1, 100, 8191, 8200, 16_000] {
            let mut link = setup.link();
            let read = link.submit(Command::read(0, 200_000));
            let status = link.submit(Command::block_status(0, 1 << 31));
            let (message, rest) = (vec![b'm'; MAX_STRING], vec![b'r'; MAX_STRING]);
            let error = ErrorChunk {
                chunk: ChunkType(0xffff),
                error: ErrorValue::EIO,
                message: &message,
                offset: None,
                rest: &rest,
            };
            let extents = vec![(512, 0); MAX_EXTENTS as usize];
            let stream = [
                // Moves all that follows.
                link.chunk(read, MORE, &data(0, &vec![1; shift + 1])),
                link.chunk(status, MORE, &Chunk::Error(error)),
                link.status(status, MORE, BASE, &extents),
                link.chunk(read, MORE, &data(100_000, &patterns(0..100_000))),
                link.status(status, LAST, BITMAP, &extents[..1000]),
                link.chunk(read, MORE, &Chunk::Error(error)),
                link.chunk(read, LAST, &hole(50_000, 50_000)),
            ]
            .concat();
            play(&mut link, &stream, MIN_INPUT_BUFFER);
            let events = link.seen();
            assert_eq!((link.error, link.client.in_flight()), (None, 0));
            let extents = |event: &Seen| if let Seen::Extents(_, _, extents) = event { extents.len() } else { 0 };
            assert_eq!(events.iter().map(extents).sum::<usize>(), MAX_EXTENTS as usize + 1000);
        }
    }
}

#[test]
fn a_simple_read_fits_at_any_size() {
    let mut link = crate::harness::link(STYLES[0]);
    let cookie = link.submit(Command::read(0, 100_000));
    play(&mut link, &[simple(cookie, OK), patterns(0..100_000)].concat(), MIN_INPUT_BUFFER);
    assert_eq!(link.seen(), [Seen::Data(cookie, 0..100_000), Seen::Done(cookie, Ok(()))]);
    assert_eq!(link.buffers[&cookie], patterns(0..100_000));
}

#[test]
fn a_call_brings_at_most_one_event_and_ends() {
    for style in CHUNKED {
        let mut link = crate::harness::link(style);
        let cookies: Vec<_> = (0..100).map(|_| link.submit(Command::read(0, 1))).collect();
        let stream: Vec<u8> = cookies.iter().flat_map(|cookie| link.chunk(*cookie, LAST, &hole(0, 1))).collect();
        // A hole and a Done each, and one call that finds nothing.
        let (mut rest, mut calls) = (&stream[..], 0);
        loop {
            let advance = link.client.input(rest).unwrap();
            rest = &rest[advance.consumed..];
            calls += 1;
            if advance.event.is_none() && advance.consumed == 0 {
                break;
            }
        }
        assert_eq!((calls, link.client.in_flight()), (201, 0));
    }
}
