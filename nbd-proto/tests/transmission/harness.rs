//! A client engine with buffers around it, and a hand-written server behind it.

use std::collections::BTreeMap;
use std::ops::Range;

use nbd_proto::error::{CommandError, Error};
use nbd_proto::handshake::{Connect, ConnectSettings, Flow, Negotiated, ReplyStyle, Status};
use nbd_proto::transmission::{Client, ClientSettings, Command, Event, Extent, Segment};
use nbd_proto::wire::flags::{HandshakeFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{ChunkType, CommandType, ContextId, Cookie, ErrorValue, OptionCode};
use nbd_proto::wire::option_reply::OptionReply;

/// The styles that answer in chunks.
pub(crate) const CHUNKED: [ReplyStyle; 2] = [ReplyStyle::Structured, ReplyStyle::Extended];
pub(crate) const STYLES: [ReplyStyle; 3] = [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended];

/// The contexts that a chunked link has.
pub(crate) const BASE: ContextId = ContextId(7);
pub(crate) const BITMAP: ContextId = ContextId(0xffff_fff0);

/// What the scripted server agrees to.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) style: ReplyStyle,
    pub(crate) size: u64,
    pub(crate) flags: TransmissionFlags,
    pub(crate) sizes: Option<BlockSizes>,
    pub(crate) contexts: Vec<(ContextId, &'static str)>,
    pub(crate) settings: ClientSettings,
}

impl Setup {
    /// A writable export of 1 MiB that offers all there is, with two contexts where the style allows any.
    pub(crate) fn new(style: ReplyStyle) -> Self {
        let contexts = vec![(BASE, "base:allocation"), (BITMAP, "qemu:dirty-bitmap:b")];
        Self {
            style,
            size: 1 << 20,
            flags: TransmissionFlags::all() - TransmissionFlags::READ_ONLY,
            sizes: None,
            contexts: if style == ReplyStyle::Simple { Vec::new() } else { contexts },
            settings: ClientSettings::default(),
        }
    }

    /// One handshake, played to the flow that real connections use.
    pub(crate) fn negotiated(&self) -> Negotiated {
        let mut script = Vec::new();
        Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES).emit(&mut script);
        match self.style {
            ReplyStyle::Simple => {}
            ReplyStyle::Structured => OptionReply::Ack.emit(OptionCode::STRUCTURED_REPLY, &mut script),
            ReplyStyle::Extended => OptionReply::Ack.emit(OptionCode::EXTENDED_HEADERS, &mut script),
        }
        let mut settings = ConnectSettings::new("export")
            .with_extended_headers(self.style == ReplyStyle::Extended)
            .with_structured_replies(self.style == ReplyStyle::Structured);
        if !self.contexts.is_empty() {
            for (id, name) in &self.contexts {
                settings = settings.with_meta_context(*name);
                OptionReply::MetaContext { id: *id, name }.emit(OptionCode::SET_META_CONTEXT, &mut script);
            }
            OptionReply::Ack.emit(OptionCode::SET_META_CONTEXT, &mut script);
        }
        let facts = ExportFacts { size: self.size, flags: self.flags };
        OptionReply::Info(Info::Export(facts)).emit(OptionCode::GO, &mut script);
        if let Some(sizes) = self.sizes {
            OptionReply::Info(Info::BlockSize(sizes)).emit(OptionCode::GO, &mut script);
        }
        OptionReply::Ack.emit(OptionCode::GO, &mut script);

        let mut flow = Connect::new(settings);
        let (mut rest, mut out) = (&script[..], Vec::new());
        while flow.status() != Status::Ready {
            let consumed = flow.input(rest, &mut out).unwrap();
            rest = &rest[consumed..];
        }
        assert!(rest.is_empty());
        let negotiated = flow.finish().unwrap();
        assert_eq!(negotiated.reply_style, self.style);
        negotiated
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.negotiated(), self.settings)
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            client: self.client(),
            style: self.style,
            buffers: BTreeMap::new(),
            commands: BTreeMap::new(),
            events: Vec::new(),
            sent: Vec::new(),
            pending: Vec::new(),
            error: None,
        }
    }
}

/// Shorthand for a link without further wishes.
pub(crate) fn link(style: ReplyStyle) -> Link {
    Setup::new(style).link()
}

/// An event that owns what it tells. Adjacent data and extents of one source are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Data(Cookie, Range<usize>),
    Hole(Cookie, Range<usize>),
    Extents(Cookie, ContextId, Vec<Extent>),
    Failure(Cookie, ChunkType, ErrorValue),
    Done(Cookie, Result<(), CommandError>),
}

/// An engine, the buffers of its commands, and what has come of them.
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) style: ReplyStyle,
    pub(crate) buffers: BTreeMap<Cookie, Vec<u8>>,
    /// Those that have not had their `Done`.
    pub(crate) commands: BTreeMap<Cookie, Command>,
    pub(crate) events: Vec<Seen>,
    /// All bytes for the server so far.
    pub(crate) sent: Vec<u8>,
    /// What has arrived and is not consumed.
    pub(crate) pending: Vec<u8>,
    pub(crate) error: Option<Error>,
}

/// What a buffer of a read holds before anything came.
pub(crate) const UNTOUCHED: u8 = 0xa5;

/// The byte that a write puts at this place of its buffer, and that servers of tests have there.
pub(crate) fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8 | 1
}

pub(crate) fn patterns(range: Range<u64>) -> Vec<u8> {
    range.map(pattern).collect()
}

impl Link {
    pub(crate) fn register(&mut self, cookie: Cookie, command: Command) {
        let range = command.offset..command.offset.saturating_add(command.length);
        let buffer = match command.command {
            CommandType::READ => vec![UNTOUCHED; command.length as usize],
            CommandType::WRITE => patterns(range),
            _ => Vec::new(),
        };
        self.buffers.insert(cookie, buffer);
        assert!(self.commands.insert(cookie, command).is_none(), "{cookie} names two commands in flight");
    }

    /// Takes a command that has to be taken, and sends nothing.
    pub(crate) fn queue(&mut self, command: Command) -> Cookie {
        let cookie = self.client.submit(command).unwrap();
        self.register(cookie, command);
        cookie
    }

    /// Takes a command and sends it.
    pub(crate) fn submit(&mut self, command: Command) -> Cookie {
        let cookie = self.queue(command);
        self.send(usize::MAX);
        cookie
    }

    /// All that is to be sent, as one stream.
    pub(crate) fn outbound(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.client.outbound() {
            match segment {
                Segment::Framing(framing) => bytes.extend_from_slice(framing),
                Segment::Payload { owner: cookie, range } => bytes.extend_from_slice(&self.buffers[&cookie][range]),
            }
        }
        bytes
    }

    /// Sends at most `count` bytes, looks for what is due by that, and returns how many bytes there were.
    pub(crate) fn send(&mut self, count: usize) -> usize {
        let mut bytes = self.outbound();
        bytes.truncate(count);
        self.client.sent(bytes.len());
        self.sent.extend_from_slice(&bytes);
        self.poll();
        bytes.len()
    }

    /// Hands bytes in until nothing comes of them.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.pending);
        self.pending = self.drain(&input).to_vec();
    }

    /// Fetches events that are due without input.
    pub(crate) fn poll(&mut self) {
        self.drain(&[]);
    }

    /// Receives the front of `bytes` in place, if there is a landing, and returns how many.
    pub(crate) fn land(&mut self, bytes: &[u8]) -> usize {
        let Some(landing) = self.client.landing() else { return 0 };
        assert!(self.pending.is_empty() && !landing.range.is_empty());
        let count = bytes.len().min(landing.range.len());
        let range = landing.range.start..landing.range.start + count;
        self.buffers.get_mut(&landing.owner).unwrap()[range.clone()].copy_from_slice(&bytes[..count]);
        self.client.landed(count);
        self.push_data(landing.owner, range);
        self.poll();
        count
    }

    /// Receives bytes as a driver does that knows landings.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let landed = self.land(bytes);
            bytes = &bytes[landed..];
            if landed == 0 {
                self.feed(bytes);
                return;
            }
        }
    }

    fn drain<'a>(&mut self, mut input: &'a [u8]) -> &'a [u8] {
        loop {
            match self.client.input(input) {
                Ok(advance) => {
                    let idle = advance.consumed == 0 && advance.event.is_none();
                    input = &input[advance.consumed..];
                    if let Some(event) = advance.event {
                        self.see(event);
                    }
                    if idle {
                        return input;
                    }
                }
                Err(error) => {
                    assert!(self.error.as_ref().is_none_or(|first| *first == error), "another error than before");
                    self.error = Some(error);
                    return input;
                }
            }
        }
    }

    fn push_data(&mut self, cookie: Cookie, range: Range<usize>) {
        match self.events.last_mut() {
            Some(Seen::Data(last, joined)) if *last == cookie && joined.end == range.start => joined.end = range.end,
            _ => self.events.push(Seen::Data(cookie, range)),
        }
    }

    fn see(&mut self, event: Event<'_>) {
        match event {
            Event::Data { cookie, range, bytes } => {
                self.buffers.get_mut(&cookie).unwrap()[range.clone()].copy_from_slice(bytes);
                self.push_data(cookie, range);
            }
            Event::Hole { cookie, range } => {
                self.buffers.get_mut(&cookie).unwrap()[range.clone()].fill(0);
                self.events.push(Seen::Hole(cookie, range));
            }
            Event::Extents { cookie, context, extents } => match self.events.last_mut() {
                Some(Seen::Extents(last, of, joined)) if (*last, *of) == (cookie, context) => joined.extend(extents),
                _ => self.events.push(Seen::Extents(cookie, context, extents.collect())),
            },
            Event::Failure { cookie, error } => self.events.push(Seen::Failure(cookie, error.chunk, error.error)),
            Event::Done { cookie, result } => {
                assert!(self.commands.remove(&cookie).is_some(), "a Done for {cookie}, which is not in flight");
                self.events.push(Seen::Done(cookie, result));
            }
        }
    }

    /// What was seen since the last look.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.events)
    }

    /// The connection is over, and behaves so.
    pub(crate) fn assert_over(&mut self) -> Error {
        let error = self.error.clone().expect("the connection is over");
        assert!(self.commands.is_empty(), "without a Done: {:?}", self.commands);
        assert_eq!((self.client.in_flight(), self.client.room()), (0, 0));
        assert_eq!((self.client.landing(), self.client.wants_write()), (None, false));
        assert_eq!(self.client.outbound().count(), 0);
        assert_eq!(self.client.over(), Some(&error));
        for bytes in [&b""[..], b"more", &[0; 100]] {
            assert_eq!(self.client.input(bytes), Err(error.clone()));
        }
        self.client.sent(100);
        self.client.landed(100);
        self.client.eof();
        self.client.give_up("too late");
        assert_eq!(self.client.input(b""), Err(error.clone()));
        error
    }
}

/// Sends commands, plays what a server says to them, and returns the error in which that ends: whole, byte by
/// byte, with bytes behind it, and with everything that can land landing.
#[track_caller]
pub(crate) fn fault(setup: &Setup, commands: &[Command], script: impl Fn(&Link, &[Cookie]) -> Vec<u8>) -> Error {
    let run = |play: fn(&mut Link, &[u8])| {
        let mut link = setup.link();
        let cookies: Vec<_> = commands.iter().map(|command| link.submit(*command)).collect();
        let bytes = script(&link, &cookies);
        play(&mut link, &bytes);
        let error = link.assert_over();
        (error, link.seen(), link.buffers)
    };
    let whole = run(Link::feed);
    let bytewise = run(|link, bytes| bytes.chunks(1).for_each(|byte| link.feed(byte)));
    let trailing = run(|link, bytes| link.feed(&[bytes, &[0x55; 40]].concat()));
    let landing = run(|link, bytes| bytes.chunks(3).for_each(|three| link.receive(three)));
    assert_eq!(whole, bytewise);
    assert_eq!(whole, trailing);
    assert_eq!(whole, landing);
    whole.0
}
