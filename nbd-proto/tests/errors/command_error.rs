//! How one command fails.

use nbd_proto::error::CommandError;
use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Event, StatusAnswer, StatusMemory};
use nbd_proto::wire::chunk::{Chunk, ErrorChunk};
use nbd_proto::wire::number::{ChunkType, Cookie, ErrorValue};

use crate::harness::{BASE, Link, Seen, link};
use crate::server::{LAST, MORE, failed, hole};
use crate::{Provoked, row};

/// One command, and what it fails with.
fn failing(command: Command, play: impl FnOnce(&mut Link, Cookie)) -> CommandError {
    let mut link = link(ReplyStyle::Structured);
    let cookie = link.submit(command);
    play(&mut link, cookie);
    link.poll();
    match link.seen().pop() {
        Some(Seen::Done(_, Err(error))) => error,
        other => panic!("{other:?}"),
    }
}

fn answered(command: Command, chunk: &Chunk<'_>) -> CommandError {
    failing(command, |link, cookie| link.feed(&link.chunk(cookie, LAST, chunk)))
}

fn one_context() -> CommandError {
    failing(Command::block_status(0, 512), |link, cookie| {
        link.feed(&link.status(cookie, MORE, BASE, &[(512, 0)]));
        link.feed(&link.chunk(cookie, LAST, &Chunk::None));
    })
}

/// An answer for which there is no memory.
fn forgotten() -> CommandError {
    let mut link = link(ReplyStyle::Structured);
    let cookie = link.submit(Command::block_status(0, 512));
    let reply = link.status(cookie, LAST, BASE, &[(512, 0)]);
    let (mut memory, mut answer, mut rest) = (StatusMemory::new(20), StatusAnswer::default(), &reply[..]);
    while !rest.is_empty() {
        let advance = link.client.input(rest).unwrap();
        rest = &rest[advance.consumed..];
        if let Some(Event::Extents { context, extents, .. }) = advance.event {
            answer.add(&mut memory, context, extents);
        }
    }
    answer.finish(&memory, Ok(())).1.unwrap_err()
}

pub(crate) fn table() -> Vec<Provoked> {
    let (chunk, error) = (ChunkType::ERROR_OFFSET, ErrorValue::EIO);
    let placed = Chunk::Error(ErrorChunk { chunk, error, message: b"bad sector", offset: Some(4100), rest: b"" });
    let read = Command::read(4096, 512);
    vec![
        row(
            "Server",
            &answered(Command::flush(), &failed(ErrorValue::ENOSPC, b"")),
            "the server failed NBD_CMD_FLUSH with NBD_ENOSPC (no space left on the server's device)",
        ),
        row(
            "Server",
            &answered(read, &placed),
            "the server failed NBD_CMD_READ with NBD_EIO (input/output error) at offset 4100: bad sector",
        ),
        row("Incomplete", &answered(read, &hole(4096, 100)), "the server claims success, but sent 100 of 512 bytes"),
        row("ContextsMissing", &one_context(), "the server claims success, but answered for 1 of 2 metadata contexts"),
        row(
            "StatusTooLarge",
            &forgotten(),
            "the server's answers to NBD_CMD_BLOCK_STATUS take more than 20 bytes of memory, which is the limit",
        ),
        row(
            "Connection",
            &failing(read, |link, _| link.client.eof()),
            "the other side closed the connection while a reply was awaited",
        ),
    ]
}
