//! The chunk bounds of libnbd, October 2019: a server answers a read with a chunk that lies before the read, or behind it,
//! and a comparison of signed with unsigned numbers lets it through, so that the server writes to the client's memory
//! outside of the buffer.
//!
//! We promise: a chunk that is not wholly inside its read ends the session before a byte of it is taken. The tests' own
//! buffers are as long as the read, so a range outside of them could not go unseen either.

use nbd_proto::error::PeerMisbehaved;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::Command;
use nbd_proto::wire::number::ChunkType;

use crate::client::harness::{CHUNKED, Setup, fault, link};
use crate::client::server::{LAST, hole};

const OFFSET: u64 = 4096;
const LENGTH: u64 = 1024;

/// Before the read, across its edges, behind it; with offsets that are negative where they are signed; with ends that
/// wrap around into the read.
const OUTSIDE: [(u64, u32); 10] = [
    (0, 512),
    (OFFSET - 1, 1),
    (OFFSET - 1, 2),
    (OFFSET + LENGTH, 1),
    (OFFSET + LENGTH - 1, 2),
    (OFFSET, LENGTH as u32 + 1),
    (1 << 63, 512),
    (u64::MAX - 511, 512),
    (u64::MAX, OFFSET as u32 + 513),
    (u64::MAX, u32::MAX),
];

#[test]
fn a_chunk_outside_of_the_read_ends_the_session_before_a_byte_is_taken() {
    for style in CHUNKED {
        for (offset, length) in OUTSIDE {
            let out =
                |length| PeerMisbehaved::OutOfBounds { offset, length, asked_offset: OFFSET, asked_length: LENGTH };
            let read = [Command::read(OFFSET, LENGTH)];
            let setup = Setup::new(style);
            let error = fault(&setup, &read, |link, cookies| link.chunk(cookies[0], LAST, &hole(offset, length)));
            assert_eq!(error, out(length.into()).into());

            // Of data the header and the offset are enough.
            let length = u64::from(length).min(u64::from(u32::MAX) - 8);
            let error = fault(&setup, &read, |link, cookies| {
                let header = link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, length + 8);
                [&header[..], &offset.to_be_bytes()].concat()
            });
            assert_eq!(error, out(length).into());
        }
    }
}

#[test]
fn a_length_of_64_bits_does_not_wrap_into_the_read() {
    let setup = Setup::new(ReplyStyle::Extended);
    for length in [1 << 32, 1 << 63, u64::MAX - OFFSET + 9, u64::MAX] {
        let error = fault(&setup, &[Command::read(OFFSET, LENGTH)], |link, cookies| {
            let header = link.header(cookies[0], LAST, ChunkType::OFFSET_DATA, length);
            [&header[..], &OFFSET.to_be_bytes()].concat()
        });
        let (asked_offset, asked_length) = (OFFSET, LENGTH);
        let out = PeerMisbehaved::OutOfBounds { offset: OFFSET, length: length - 8, asked_offset, asked_length };
        assert_eq!(error, out.into());
    }
}

/// The edges themselves are inside: without this, refusing everything would pass for a promise that is kept.
#[test]
fn a_chunk_that_fills_the_read_is_taken() {
    for style in CHUNKED {
        let mut link = link(style);
        let read = link.submit(Command::read(OFFSET, LENGTH));
        link.feed(&link.chunk(read, LAST, &hole(OFFSET, LENGTH as u32)));
        assert_eq!(link.buffers[&read], vec![0; LENGTH as usize]);
        assert!(link.error.is_none() && link.commands.is_empty());
    }
}
