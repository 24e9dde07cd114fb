//! Whatever a server sends, the memory of the engines stays within a bound.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;

use nbd_proto::error::{CommandError, Error, PeerMisbehaved, Refused};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, List, ListSettings, Status};
use nbd_proto::limits::{HandshakeLimits, MAX_EXTENTS, MAX_FRAGMENTS};
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, StatusAnswer, StatusMemory};
use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, ErrorChunk, OffsetHole, Width};
use nbd_proto::wire::flags::{HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, ContextId, Cookie, ErrorValue, OptionCode};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::StructuredReply;

const CONTEXT: ContextId = ContextId(3);
const LIMIT: usize = 8;

fn client() -> Client {
    let mut script = Vec::new();
    Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE).emit(&mut script);
    OptionReply::Ack.emit(OptionCode::STRUCTURED_REPLY, &mut script);
    let context = OptionReply::MetaContext { id: CONTEXT, name: "base:allocation" };
    context.emit(OptionCode::SET_META_CONTEXT, &mut script);
    OptionReply::Ack.emit(OptionCode::SET_META_CONTEXT, &mut script);
    let facts = ExportFacts { size: 1 << 40, flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY };
    OptionReply::Info(Info::Export(facts)).emit(OptionCode::GO, &mut script);
    OptionReply::Ack.emit(OptionCode::GO, &mut script);
    let settings = ConnectSettings::new("").with_extended_headers(false).with_meta_context("base:allocation");
    let (mut flow, mut rest, mut out) = (Connect::new(settings), &script[..], Vec::new());
    while flow.status() != Status::Ready {
        let consumed = flow.input(rest, &mut out).unwrap();
        rest = &rest[consumed..];
    }
    Client::new(flow.finish().unwrap(), ClientSettings::default().with_max_in_flight(LIMIT))
}

fn reply(out: &mut Vec<u8>, cookie: Cookie, chunk: &Chunk<'_>) {
    out.clear();
    let header = StructuredReply { flags: ReplyFlags::empty(), chunk: chunk.chunk(), cookie, length: 0 };
    header.emit(out);
    chunk.emit(out);
    let length = (out.len() - StructuredReply::LENGTH) as u32;
    out[16..20].copy_from_slice(&length.to_be_bytes());
}

fn drain(client: &mut Client, mut input: &[u8]) -> Result<(), Error> {
    loop {
        let advance = client.input(input)?;
        input = &input[advance.consumed..];
        match advance.event {
            None if advance.consumed == 0 => return Ok(()),
            Some(Event::Extents { extents, .. }) => assert!(extents.count() > 0),
            _ => {}
        }
    }
}

/// Runs something against a warm engine, and gives how much memory it has left behind.
fn growth(attack: impl FnOnce(&mut Client, &mut Vec<u8>)) -> usize {
    let (mut client, mut out) = (client(), Vec::with_capacity(16 << 20));
    for _ in 0..LIMIT {
        client.submit(Command::read(0, 1 << 25)).unwrap();
    }
    client.sent(usize::MAX);
    let before = counting::bytes();
    attack(&mut client, &mut out);
    counting::bytes().saturating_sub(before)
}

fn cookies() -> impl Iterator<Item = Cookie> {
    (0..LIMIT as u64).map(|slot| Cookie(1 << 32 | slot))
}

#[test]
fn no_server_makes_the_engine_grow_without_bound() {
    // Reads in ever more pieces: a pair of 64-bit numbers each, in memory that doubles as it grows.
    let pieces = growth(|client, out| {
        for at in 0..MAX_FRAGMENTS as u64 {
            for cookie in cookies() {
                reply(out, cookie, &Chunk::OffsetHole(OffsetHole { offset: at * 2, length: 1 }));
                drain(client, out).unwrap();
            }
        }
        // The same number of pieces, over and over elsewhere, is not more of them.
        for at in 0..MAX_FRAGMENTS as u64 {
            reply(out, Cookie(1 << 32), &Chunk::OffsetHole(OffsetHole { offset: at * 2 + 1, length: 1 }));
            drain(client, out).unwrap();
        }
    });
    assert!(pieces <= LIMIT * MAX_FRAGMENTS * 16 * 2, "{pieces} bytes for pieces");

    // Errors without end: the first is kept, at most a message of 4096 bytes each.
    let errors = growth(|client, out| {
        let error = ErrorChunk {
            chunk: ChunkType::ERROR,
            error: ErrorValue::EIO,
            message: &[0xff; 4096],
            offset: None,
            rest: b"",
        };
        for _ in 0..200 {
            for cookie in cookies() {
                reply(out, cookie, &Chunk::Error(error));
                drain(client, out).unwrap();
            }
        }
    });
    // Each byte that is no UTF-8 becomes three.
    assert!(errors <= LIMIT * (3 * 4096 * 2 + 256), "{errors} bytes for errors");

    // Extents are passed on, not collected, and a length that is only claimed costs nothing.
    let extents = growth(|client, out| {
        let mut bytes = Vec::with_capacity(8 * MAX_EXTENTS as usize);
        for _ in 0..MAX_EXTENTS {
            Descriptor { length: 512, flags: 0 }.emit(Width::Bits32, &mut bytes);
        }
        client.give_up("these reads are not of use here");
        *client = self::client();
        for _ in 0..LIMIT {
            let cookie = client.submit(Command::block_status(0, 1 << 31)).unwrap();
            let status = Chunk::BlockStatus { context: CONTEXT, extents: Descriptors::new(Width::Bits32, &bytes) };
            reply(out, cookie, &status);
            drain(client, out).unwrap();
        }
        drop(bytes);
    });
    assert!(extents <= 32 * 1024, "{extents} bytes for extents");

    // Answers that come before the requests are sent make no room for more.
    let queued = growth(|client, out| {
        *client = self::client();
        let mut refused = 0;
        for _ in 0..10_000 {
            match client.submit(Command::write(0, 512)) {
                Ok(cookie) => {
                    out.clear();
                    let (flags, chunk) = (ReplyFlags::DONE, ChunkType::NONE);
                    StructuredReply { flags, chunk, cookie, length: 0 }.emit(out);
                    drain(client, out).unwrap();
                }
                Err(Refused::QueueFull { limit: LIMIT }) => refused += 1,
                Err(other) => unreachable!("{other}"),
            }
        }
        assert_eq!(refused, 10_000 - LIMIT);
    });
    assert!(queued <= 64 * 1024, "{queued} bytes for what is queued");

    // And the bound on pieces is told.
    let mut client = client();
    let cookie = client.submit(Command::read(0, 1 << 25)).unwrap();
    let mut out = Vec::new();
    let mut result = Ok(());
    for at in 0..=MAX_FRAGMENTS as u64 {
        assert_eq!(result, Ok(()));
        reply(&mut out, cookie, &Chunk::OffsetHole(OffsetHole { offset: at * 2, length: 1 }));
        result = drain(&mut client, &out);
    }
    // The Done comes first, then the error.
    assert!(client.over().is_some());
    assert_eq!(result, Err(PeerMisbehaved::TooManyFragments.into()));
}

/// The shortest names that there can be, for each export, until the limit is reached: what is kept beside each
/// weighs most then.
#[test]
fn no_server_makes_a_listing_grow_without_bound() {
    const EXPORTS: usize = 100;
    const LIMIT: usize = 1 << 20;
    let limits = HandshakeLimits::default().with_reply_bytes(LIMIT as u64);
    let (mut flow, mut out) = (List::new(ListSettings::default().with_limits(limits)), Vec::with_capacity(1 << 16));
    let before = counting::bytes();
    let mut message = Vec::with_capacity(1 << 16);
    let mut say = |write: &mut dyn FnMut(&mut Vec<u8>)| {
        message.clear();
        write(&mut message);
        let consumed = flow.input(&message, &mut out);
        out.clear();
        consumed
    };
    let ack = |option: OptionCode| move |out: &mut Vec<u8>| OptionReply::Ack.emit(option, out);
    say(&mut |out| Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE).emit(out)).unwrap();
    say(&mut ack(OptionCode::EXTENDED_HEADERS)).unwrap();
    for _ in 0..EXPORTS {
        say(&mut |out| OptionReply::Server { name: "", description: b"" }.emit(OptionCode::LIST, out)).unwrap();
    }
    say(&mut ack(OptionCode::LIST)).unwrap();
    let facts = ExportFacts { size: 1, flags: TransmissionFlags::HAS_FLAGS };
    let context = OptionReply::MetaContext { id: ContextId(0), name: "x" };
    let end = 'server: loop {
        say(&mut |out| OptionReply::Info(Info::Export(facts)).emit(OptionCode::INFO, out)).unwrap();
        say(&mut ack(OptionCode::INFO)).unwrap();
        for round in [limits.replies_per_option, 0] {
            for _ in 0..round {
                if let Err(error) = say(&mut |out| context.emit(OptionCode::LIST_META_CONTEXT, out)) {
                    break 'server error;
                }
            }
            say(&mut ack(OptionCode::LIST_META_CONTEXT)).unwrap();
        }
    };
    assert_eq!(end, PeerMisbehaved::TooManyReplyBytes { limit: LIMIT as u64 }.into());
    let grown = counting::bytes() - before;
    assert!(grown > LIMIT / 4, "nothing was kept");
    assert!(grown <= 3 * LIMIT, "{grown} bytes for a listing");
}

/// Feeds one answer of so many extents to `answer`.
fn answer(client: &mut Client, count: u32, answer: &mut StatusAnswer, memory: &mut StatusMemory) {
    let mut bytes = Vec::new();
    for _ in 0..count {
        Descriptor { length: 512, flags: 0 }.emit(Width::Bits32, &mut bytes);
    }
    let (cookie, mut out) = (client.submit(Command::block_status(0, 1 << 31)).unwrap(), Vec::new());
    client.sent(usize::MAX);
    let status = Chunk::BlockStatus { context: CONTEXT, extents: Descriptors::new(Width::Bits32, &bytes) };
    reply(&mut out, cookie, &status);
    out.extend_from_slice(&[0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 0]);
    out.extend_from_slice(&cookie.0.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    let (mut at, mut done) = (0, false);
    while !done {
        // As a driver would, from a buffer that is shorter than the reply.
        let advance = client.input(&out[at..out.len().min(at + 10_000)]).unwrap();
        at += advance.consumed;
        match advance.event {
            Some(Event::Extents { context, extents, .. }) => answer.add(memory, context, extents),
            Some(Event::Done { result, .. }) => done = result.is_ok(),
            _ => {}
        }
    }
}

#[test]
fn collected_extents_take_what_is_counted_and_no_more_than_the_limit() {
    const LIMIT: usize = 100_000;
    let (mut client, mut memory) = (client(), StatusMemory::new(LIMIT));
    let before = counting::bytes();
    let mut answers: Vec<StatusAnswer> = Vec::with_capacity(8);
    // 24 bytes each, in a list that has room for 2048, 1024, 512 and so on: the third does not fit any more.
    for count in [2000, 1000, 2000, 1000, 3] {
        let mut one = StatusAnswer::default();
        answer(&mut client, count, &mut one, &mut memory);
        answers.push(one);
        let (grown, held) = (counting::bytes() - before - 8 * size_of::<StatusAnswer>(), memory.held());
        // The engine keeps what it needed once; no more than that is not counted.
        assert!(held <= LIMIT && grown <= held + 4096, "{grown} bytes, of which {held} are counted");
    }
    let mut lengths = Vec::new();
    for one in answers {
        let (contexts, result) = one.finish(&memory, Ok(()));
        lengths.push(result.map(|()| contexts[0].extents.len()));
        memory.release(&contexts);
    }
    let too_large = Err(CommandError::StatusTooLarge { limit: LIMIT });
    assert_eq!(lengths, [Ok(2000), Ok(1000), too_large, Ok(1000), Ok(3)]);
    assert_eq!(memory.held(), 0, "all was released");
    // The server's own error is the one that counts.
    let mut one = StatusAnswer::default();
    answer(&mut client, 5000, &mut one, &mut memory);
    let own = CommandError::ContextsMissing { answered: 0, asked: 1 };
    assert_eq!(one.finish(&memory, Err(own.clone())), (Vec::new(), Err(own)));
    assert_eq!(memory.held(), 0, "nothing is kept of what does not fit");
}
