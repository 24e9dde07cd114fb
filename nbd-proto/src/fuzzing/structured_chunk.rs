//! Replies of all three styles against requests in flight.
//!
//! Invariants:
//!
//! - no input panics;
//! - a stream brings the same events (adjacent data and extents joined), the same buffers and the same end,
//!   whether it comes whole or in pieces, by `input` or through the landing;
//! - each command ends in exactly one `Done`, and not before its last byte was sent unless the connection is over;
//! - no range lies outside its buffer, no byte is written twice, and a read that succeeds wrote every byte;
//! - an input of `MIN_INPUT_BUFFER` bytes is never left untouched;
//! - once the connection is over, the error comes again and again, and nothing is in flight, lands or goes out.
//!
//! The data: 6 bytes of settings (style; number of requests; bytes of requests that are sent late; …), the four
//! sizes of the pieces being the last of them but for one; 4 bytes for each request (kind, flags, offset, length);
//! the rest is the server's stream. In its reply headers, a cookie below the number of requests is replaced by the
//! real cookie of that request.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::{Pace, take};
use crate::error::{CommandError, Error};
use crate::handshake::{ExportInfo, HandshakeStyle, MetaContext, Negotiated, ReplyStyle};
use crate::limits::MIN_INPUT_BUFFER;
use crate::transmission::{Checks, Client, ClientSettings, Command, Event, Extent, Segment};
use crate::wire::flags::{CommandFlags, TransmissionFlags};
use crate::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue};
use crate::wire::reply::{ExtendedReply, ReplyHeader, SimpleReply, StructuredReply};

const SIZE: u64 = 16 * 1024;
const CONTEXTS: [(u32, &str); 3] = [(1, "base:allocation"), (2, "qemu:dirty-bitmap:b"), (u32::MAX, "x-test:")];
const KINDS: [CommandType; 8] = [
    CommandType::READ,
    CommandType::READ,
    CommandType::BLOCK_STATUS,
    CommandType::WRITE,
    CommandType::FLUSH,
    CommandType::TRIM,
    CommandType::CACHE,
    CommandType::WRITE_ZEROES,
];

/// See the top of the module.
pub fn structured_chunk(data: &[u8]) {
    let Some(case) = Case::parse(data) else { return };
    let whole = case.start().run_whole(&case);
    let split = case.start().run_split(&case);
    assert_eq!(whole.events, split.events, "the events depend on how the stream was cut");
    assert_eq!(whole.over, split.over, "the end depends on how the stream was cut");
    assert_eq!(whole.shutting_down, split.shutting_down);
    assert_eq!(whole.buffers, split.buffers, "the buffers depend on how the stream was cut");
}

struct Case {
    facts: Negotiated,
    commands: Vec<(Command, bool)>,
    /// How many bytes of the requests are sent only behind the stream.
    late: usize,
    pace: Pace,
    stream: Vec<u8>,
}

impl Case {
    fn parse(mut data: &[u8]) -> Option<Self> {
        let [style, count, late, first, second, third] = *data.first_chunk::<6>()?;
        data = &data[6..];
        let style = match style % 3 {
            0 => ReplyStyle::Simple,
            1 => ReplyStyle::Structured,
            _ => ReplyStyle::Extended,
        };
        let mut commands = Vec::new();
        for _ in 0..=count % 8 {
            let [kind, flags, offset, length] = *take(&mut data, 4) else { return None };
            let wanted = CommandFlags::from_bits_retain(flags.into()) & (CommandFlags::DF | CommandFlags::REQ_ONE);
            let command = Command {
                command: KINDS[usize::from(kind) % KINDS.len()],
                flags: wanted,
                offset: u64::from(offset) * 64,
                length: u64::from(length) * 16,
            };
            commands.push((command, kind & 0x80 != 0));
        }
        let pace = Pace::new([first, second, third, late]);
        Some(Self { facts: facts(style), commands, late: late.into(), pace, stream: data.to_owned() })
    }

    fn start(&self) -> Run {
        let checks = Checks::all() - (Checks::FLAGS | Checks::BOUNDS | Checks::EMPTY);
        let mut client = Client::new(self.facts.clone(), ClientSettings::default().with_checks(checks));
        let mut buffers = Vec::new();
        let mut queued = 0;
        for (command, for_contexts) in &self.commands {
            let cookie = if *for_contexts && command.command == CommandType::BLOCK_STATUS {
                client.submit_for_contexts(*command, &[ContextId(2), ContextId(1)])
            } else {
                client.submit(*command)
            };
            let Ok(cookie) = cookie else { continue };
            let length = if command.command == CommandType::READ { command.length as usize } else { 0 };
            let framing = if self.facts.reply_style == ReplyStyle::Extended { 32 } else { 28 };
            let total = outbound_length(&client);
            assert!(total >= queued + framing, "a request without a header");
            queued = total;
            buffers.push(Buffer {
                cookie,
                command: *command,
                bytes: vec![0xa5; length],
                written: vec![false; length],
                end: total,
                done: false,
            });
        }
        let mut stream = self.stream.clone();
        patch(&mut stream, &buffers, self.facts.reply_style);
        Run { client, buffers, events: Vec::new(), pending: Vec::new(), sent: 0, over: None, stream }
    }
}

fn facts(style: ReplyStyle) -> Negotiated {
    let contexts = CONTEXTS.map(|(id, name)| MetaContext { id: ContextId(id), name: name.to_owned() });
    Negotiated {
        export: String::new(),
        info: ExportInfo {
            size: SIZE,
            flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY,
            block_sizes: None,
            canonical_name: None,
            description: None,
        },
        handshake_style: HandshakeStyle::FixedNewstyle,
        reply_style: style,
        tls: false,
        contexts: if style == ReplyStyle::Simple { Vec::new() } else { contexts.into() },
        available_contexts: None,
    }
}

/// Puts real cookies into the reply headers of a stream, as far as it can be followed.
fn patch(stream: &mut [u8], buffers: &[Buffer], style: ReplyStyle) {
    let mut at = 0;
    while let Some(Ok(Some((header, length)))) = stream.get(at..).map(ReplyHeader::parse) {
        let buffer = usize::try_from(header.cookie().0).ok().and_then(|index| buffers.get(index));
        if let Some(buffer) = buffer {
            stream[at + 8..at + 16].copy_from_slice(&buffer.cookie.0.to_be_bytes());
        }
        let payload = match header {
            ReplyHeader::Simple(SimpleReply { error: ErrorValue(0), .. }) if style == ReplyStyle::Simple => {
                buffer.map_or(0, |buffer| buffer.bytes.len() as u64)
            }
            ReplyHeader::Simple(_) => 0,
            ReplyHeader::Structured(StructuredReply { length, .. }) => length.into(),
            ReplyHeader::Extended(ExtendedReply { length, .. }) => length,
        };
        let Some(next) = usize::try_from(payload).ok().and_then(|payload| (at + length).checked_add(payload)) else {
            return;
        };
        at = next;
    }
}

fn outbound_length(client: &Client) -> usize {
    client
        .outbound()
        .map(|segment| match segment {
            Segment::Framing(bytes) => bytes.len(),
            Segment::Payload { range, .. } => range.len(),
        })
        .sum()
}

#[derive(Debug, PartialEq)]
struct Buffer {
    cookie: Cookie,
    command: Command,
    bytes: Vec<u8>,
    written: Vec<bool>,
    /// Where in the outbound stream the request ends.
    end: usize,
    done: bool,
}

impl Buffer {
    fn write(&mut self, range: Range<usize>, bytes: &[u8]) {
        assert_eq!(range.len(), bytes.len());
        self.bytes[range.clone()].copy_from_slice(bytes);
        for written in &mut self.written[range] {
            assert!(!*written, "a byte is written twice");
            *written = true;
        }
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Data(Cookie, Range<usize>),
    Hole(Cookie, Range<usize>),
    Extents(Cookie, ContextId, Vec<Extent>),
    Failure(Cookie, ChunkType, ErrorValue, Vec<u8>, Option<u64>, Vec<u8>),
    Done(Cookie, Result<(), CommandError>),
}

struct Run {
    client: Client,
    buffers: Vec<Buffer>,
    events: Vec<Seen>,
    /// What has arrived and is not consumed.
    pending: Vec<u8>,
    sent: usize,
    over: Option<Error>,
    stream: Vec<u8>,
}

struct Outcome {
    events: Vec<Seen>,
    buffers: Vec<Buffer>,
    over: Option<Error>,
    shutting_down: bool,
}

impl Run {
    fn run_whole(mut self, case: &Case) -> Outcome {
        let early = outbound_length(&self.client).saturating_sub(case.late);
        self.send(early);
        self.pending = core::mem::take(&mut self.stream);
        self.drain();
        self.finish()
    }

    fn run_split(mut self, case: &Case) -> Outcome {
        let mut pace = case.pace.clone();
        let early = outbound_length(&self.client).saturating_sub(case.late);
        while self.sent < early {
            self.send(pace.next().0.min(early - self.sent));
        }
        let stream = core::mem::take(&mut self.stream);
        let mut rest = &stream[..];
        while let Some(mut piece) = pace.cut(&mut rest) {
            if pace.next().1 {
                piece = self.land(piece);
                self.poll();
            }
            self.pending.extend_from_slice(piece);
            self.drain();
        }
        self.poll();
        self.finish()
    }

    /// Asks for events that are due without input, and so leaves what has arrived aside.
    fn poll(&mut self) {
        let pending = core::mem::take(&mut self.pending);
        self.drain();
        self.pending = pending;
    }

    fn send(&mut self, count: usize) {
        let before = outbound_length(&self.client);
        self.client.sent(count);
        if self.over.is_none() {
            assert_eq!(outbound_length(&self.client), before - count);
            self.sent += count;
        }
    }

    /// Receives the front of a piece where it belongs, if there is such a place, and gives back the rest.
    fn land<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(landing) = self.client.landing() else { return piece };
        assert!(!landing.range.is_empty() && self.pending.is_empty());
        let (front, rest) = piece.split_at(landing.range.len().min(piece.len()));
        let range = landing.range.start..landing.range.start + front.len();
        self.client.landed(front.len());
        self.write(landing.owner, range, front);
        rest
    }

    /// Hands in what has arrived until nothing comes of it.
    fn drain(&mut self) {
        let input = core::mem::take(&mut self.pending);
        let mut rest = &input[..];
        loop {
            match self.client.input(rest) {
                Ok(advance) => {
                    assert!(advance.consumed <= rest.len());
                    let idle = advance.consumed == 0 && advance.event.is_none();
                    rest = &rest[advance.consumed..];
                    let over = self.client.over().is_some();
                    if let Some(event) = advance.event {
                        see(&mut self.buffers, &mut self.events, event, self.sent, over);
                    }
                    if idle {
                        break;
                    }
                }
                Err(error) => {
                    assert!(self.over.as_ref().is_none_or(|first| *first == error), "another error than before");
                    self.over = Some(error);
                    break;
                }
            }
        }
        assert!(self.over.is_some() || rest.len() < MIN_INPUT_BUFFER, "a full buffer is left untouched");
        rest.clone_into(&mut self.pending);
        assert_eq!(self.client.over(), self.over.as_ref());
    }

    fn write(&mut self, cookie: Cookie, range: Range<usize>, bytes: &[u8]) {
        let buffer = in_flight(&mut self.buffers, cookie);
        buffer.write(range.clone(), bytes);
        push_data(&mut self.events, cookie, range);
    }

    fn finish(mut self) -> Outcome {
        let late = outbound_length(&self.client);
        if late > 0 {
            self.send(late);
            self.poll();
        }
        self.client.eof();
        self.drain();
        assert!(self.over.is_some() && self.client.input(&[]).is_err());
        assert!(self.client.landing().is_none() && !self.client.wants_write());
        assert_eq!((self.client.in_flight(), self.client.room()), (0, 0));
        assert!(self.buffers.iter().all(|buffer| buffer.done), "a command without its Done");
        Outcome {
            events: self.events,
            buffers: self.buffers,
            over: self.over,
            shutting_down: self.client.is_shutting_down(),
        }
    }
}

/// The buffer of a command that has not had its `Done`.
fn in_flight(buffers: &mut [Buffer], cookie: Cookie) -> &mut Buffer {
    let Some(buffer) = buffers.iter_mut().find(|buffer| buffer.cookie == cookie && !buffer.done) else {
        unreachable!("an event for {cookie}, which is not in flight");
    };
    buffer
}

fn push_data(events: &mut Vec<Seen>, cookie: Cookie, range: Range<usize>) {
    match events.last_mut() {
        Some(Seen::Data(last, joined)) if *last == cookie && joined.end == range.start => joined.end = range.end,
        _ => events.push(Seen::Data(cookie, range)),
    }
}

fn see(buffers: &mut [Buffer], events: &mut Vec<Seen>, event: Event<'_>, sent: usize, over: bool) {
    match event {
        Event::Data { cookie, range, bytes } => {
            in_flight(buffers, cookie).write(range.clone(), bytes);
            push_data(events, cookie, range);
        }
        Event::Hole { cookie, range } => {
            in_flight(buffers, cookie).write(range.clone(), &vec![0; range.len()]);
            events.push(Seen::Hole(cookie, range));
        }
        Event::Extents { cookie, context, extents } => {
            let command = in_flight(buffers, cookie).command;
            assert_eq!(command.command, CommandType::BLOCK_STATUS);
            let extents: Vec<Extent> = extents.collect();
            for extent in &extents {
                assert!(extent.offset >= command.offset && extent.length > 0 && extent.length <= SIZE - extent.offset);
            }
            match events.last_mut() {
                Some(Seen::Extents(last, of, joined)) if (*last, *of) == (cookie, context) => joined.extend(extents),
                _ => events.push(Seen::Extents(cookie, context, extents)),
            }
        }
        Event::Failure { cookie, error } => {
            in_flight(buffers, cookie);
            let (message, rest) = (error.message.to_owned(), error.rest.to_owned());
            events.push(Seen::Failure(cookie, error.chunk, error.error, message, error.offset, rest));
        }
        Event::Done { cookie, result } => {
            let buffer = in_flight(buffers, cookie);
            assert!(buffer.end <= sent || over, "done before it was sent");
            if result.is_ok() {
                assert!(buffer.written.iter().all(|written| *written), "a successful read with gaps");
            }
            buffer.done = true;
            events.push(Seen::Done(cookie, result));
        }
    }
}
