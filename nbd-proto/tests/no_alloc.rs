//! Once warm, commands cost no allocation.
//!
//! A binary of its own, because it has an allocator of its own, which counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::disallowed_macros, reason = "the counting allocator has no value to keep its counts in")]

#[path = "common/counting.rs"]
mod counting;

use nbd_proto::handshake::{Connect, ConnectSettings, Flow, ReplyStyle, Status};
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Segment};
use nbd_proto::wire::chunk::{Chunk, Descriptor, Descriptors, OffsetHole, Width};
use nbd_proto::wire::flags::{HandshakeFlags, ReplyFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ContextId, Cookie, ErrorValue, OptionCode};
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::{ExtendedReply, SimpleReply, StructuredReply};

const CONTEXT: ContextId = ContextId(3);

fn client(style: ReplyStyle) -> Client {
    let mut script = Vec::new();
    Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE).emit(&mut script);
    let agreement = match style {
        ReplyStyle::Simple => None,
        ReplyStyle::Structured => Some(OptionCode::STRUCTURED_REPLY),
        ReplyStyle::Extended => Some(OptionCode::EXTENDED_HEADERS),
    };
    let mut settings = ConnectSettings::new("")
        .with_extended_headers(style == ReplyStyle::Extended)
        .with_structured_replies(style == ReplyStyle::Structured);
    if let Some(option) = agreement {
        settings = settings.with_meta_context("base:allocation");
        OptionReply::Ack.emit(option, &mut script);
        let context = OptionReply::MetaContext { id: CONTEXT, name: "base:allocation" };
        context.emit(OptionCode::SET_META_CONTEXT, &mut script);
        OptionReply::Ack.emit(OptionCode::SET_META_CONTEXT, &mut script);
    }
    let facts = ExportFacts { size: 1 << 20, flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY };
    OptionReply::Info(Info::Export(facts)).emit(OptionCode::GO, &mut script);
    OptionReply::Ack.emit(OptionCode::GO, &mut script);
    let (mut flow, mut rest, mut out) = (Connect::new(settings), &script[..], Vec::new());
    while flow.status() != Status::Ready {
        let consumed = flow.input(rest, &mut out).unwrap();
        rest = &rest[consumed..];
    }
    Client::new(flow.finish().unwrap(), ClientSettings::default())
}

const READ: Command = Command::read(4096, 1024);
const WRITE: Command = Command::write(8192, 512);
const STATUS: Command = Command::block_status(0, 65_536);

fn chunk(out: &mut Vec<u8>, style: ReplyStyle, command: Command, cookie: Cookie, flags: ReplyFlags, chunk: &Chunk<'_>) {
    let (kind, offset) = (chunk.chunk(), command.offset);
    let length = match chunk {
        Chunk::None => 0,
        Chunk::OffsetData { data, .. } => 8 + data.len(),
        Chunk::OffsetHole(_) => OffsetHole::LENGTH,
        Chunk::BlockStatus { extents, .. } => extents.width().prefix() + extents.as_bytes().len(),
        _ => unreachable!(),
    };
    if style == ReplyStyle::Extended {
        ExtendedReply { flags, chunk: kind, cookie, offset, length: length as u64 }.emit(out);
    } else {
        StructuredReply { flags, chunk: kind, cookie, length: length as u32 }.emit(out);
    }
    chunk.emit(out);
}

/// What a server says to one round, in memory that is there already.
fn replies(out: &mut Vec<u8>, style: ReplyStyle, cookies: &[(Cookie, Command)], extents: &[u8]) {
    out.clear();
    for (cookie, command) in cookies.iter().rev() {
        let (cookie, command) = (*cookie, *command);
        if style == ReplyStyle::Simple {
            SimpleReply { error: ErrorValue(0), cookie }.emit(out);
            if command == READ {
                out.extend_from_slice(&[7; READ.length as usize]);
            }
            continue;
        }
        let mut say = |flags, payload: &Chunk<'_>| chunk(out, style, command, cookie, flags, payload);
        let (more, last) = (ReplyFlags::empty(), ReplyFlags::DONE);
        if command == READ {
            // The last piece comes first, so that there are two ranges for a while.
            say(more, &Chunk::OffsetData { offset: READ.offset + 768, data: &[7; 256] });
            say(more, &Chunk::OffsetData { offset: READ.offset, data: &[7; 512] });
            say(last, &Chunk::OffsetHole(OffsetHole { offset: READ.offset + 512, length: 256 }));
        } else if command == STATUS {
            let width = if style == ReplyStyle::Extended { Width::Bits64 } else { Width::Bits32 };
            say(last, &Chunk::BlockStatus { context: CONTEXT, extents: Descriptors::new(width, extents) });
        } else {
            say(last, &Chunk::None);
        }
    }
}

/// One round: submit, send by short writes, receive by landing and by input, until each has its `Done`.
fn round(client: &mut Client, style: ReplyStyle, stream: &mut Vec<u8>, buffer: &mut [u8], extents: &[u8]) {
    let mut cookies = [(Cookie(0), READ); 24];
    let mut count = 0;
    for command in [READ, WRITE, Command::flush(), READ, WRITE, STATUS].into_iter().cycle().take(cookies.len()) {
        if command != STATUS || style != ReplyStyle::Simple {
            cookies[count] = (client.submit(command).unwrap(), command);
            count += 1;
        }
    }
    while client.wants_write() {
        let bytes: usize = client
            .outbound()
            .map(|segment| match segment {
                Segment::Framing(bytes) => bytes.len(),
                Segment::Payload { range, .. } => range.len(),
            })
            .sum();
        client.sent(bytes.min(333));
    }
    replies(stream, style, &cookies[..count], extents);
    let (mut at, mut done) = (0, 0);
    while at < stream.len() || done < count {
        if let Some(landing) = client.landing() {
            let length = landing.range.len().min(200);
            let range = landing.range.start..landing.range.start + length;
            buffer[range].copy_from_slice(&stream[at..at + length]);
            client.landed(length);
            at += length;
            continue;
        }
        let advance = client.input(&stream[at..]).unwrap();
        at += advance.consumed;
        match advance.event {
            Some(Event::Done { result, .. }) => {
                result.unwrap();
                done += 1;
            }
            Some(Event::Extents { extents, .. }) => assert_eq!(extents.count(), 3),
            _ => {}
        }
    }
    assert_eq!((done, client.in_flight()), (count, 0));
}

#[test]
fn a_warm_engine_allocates_nothing() {
    for style in [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended] {
        let mut client = client(style);
        let (mut stream, mut buffer, mut extents) = (Vec::new(), vec![0; READ.length as usize], Vec::new());
        let width = if style == ReplyStyle::Extended { Width::Bits64 } else { Width::Bits32 };
        for flags in 0..3 {
            Descriptor { length: 512, flags }.emit(width, &mut extents);
        }
        for _ in 0..4 {
            round(&mut client, style, &mut stream, &mut buffer, &extents);
        }
        let before = counting::allocations();
        for _ in 0..100 {
            round(&mut client, style, &mut stream, &mut buffer, &extents);
        }
        let after = counting::allocations();
        assert_eq!(after - before, 0, "with {style} replies");
    }
}
