//! A server's side of the handshake, against [`ClientHandshake`], [`Connect`] and [`List`].
//!
//! Invariants:
//!
//! - no input panics;
//! - a stream brings the same events, the same bytes for the server and the same end, whether it comes whole or
//!   in pieces;
//! - an input of `MIN_INPUT_BUFFER` bytes is never left untouched while input is awaited;
//! - nothing is consumed once the handshake is ready, and only then does it give a result;
//! - an option is taken only when one is to be chosen, and one that is refused changes nothing;
//! - an option brings no more replies than the limit allows;
//! - with TLS required, nothing but the client flags, `STARTTLS` and `ABORT` goes out in clear;
//! - once an error came, it comes again and again.
//!
//! The data: 10 bytes of settings (which engine, TLS policy, whether a greeting is put in front; what to ask for;
//! number of options to choose; four sizes of pieces; length of the stream before TLS begins, 16 bits; a limit),
//! one byte for each option to choose; the rest is the server's stream. In its option replies, an option number of
//! 0 is replaced by that of the option that was asked.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use smallvec::smallvec;

use super::{Pace, patch_option, requests, take};
use crate::error::Error;
use crate::handshake::{
    ClientHandshake, Connect, ConnectSettings, Flow, HandshakeEvent, HandshakeSettings, List, ListSettings, Status,
    TlsPolicy,
};
use crate::limits::{HandshakeLimits, MIN_INPUT_BUFFER};
use crate::wire::flags::HandshakeFlags;
use crate::wire::greeting::Greeting;
use crate::wire::number::{InfoType, OptionCode};
use crate::wire::option::{InfoRequest, MetaContextRequest, OptionHeader, OptionRequest};

/// See the top of the module.
pub fn option_reply(data: &[u8]) {
    let Some(case) = Case::parse(data) else { return };
    let mut whole = Run::new(&case);
    whole.find_and_patch = true;
    let clear = whole.feed(case.clear.clone(), None);
    whole.switch();
    let tls = whole.feed(case.tls.clone(), None);
    whole.finish();

    let mut split = Run::new(&case);
    split.feed(clear, Some(case.pace.clone()));
    split.switch();
    split.feed(tls, Some(case.pace.clone()));
    split.finish();
    assert_eq!(whole.events, split.events, "the events depend on how the stream was cut");
    assert_eq!(whole.out, split.out, "what is sent depends on how the stream was cut");
    assert_eq!(whole.over, split.over, "the end depends on how the stream was cut");
    assert_eq!(whole.result, split.result, "the result depends on how the stream was cut");
}

struct Case {
    engine: u8,
    wishes: u8,
    tls_policy: TlsPolicy,
    limits: HandshakeLimits,
    options: Vec<u8>,
    pace: Pace,
    clear: Vec<u8>,
    tls: Vec<u8>,
}

impl Case {
    fn parse(mut data: &[u8]) -> Option<Self> {
        let [basics, wishes, options, first, second, third, fourth, clear_high, clear_low, limit] =
            *data.first_chunk::<10>()?;
        data = &data[10..];
        let options = take(&mut data, usize::from(options % 16)).to_owned();
        let mut clear = Vec::new();
        if basics & 0x10 != 0 {
            Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES).emit(&mut clear);
        }
        clear.extend_from_slice(take(&mut data, usize::from(u16::from_be_bytes([clear_high, clear_low]))));
        let limits = HandshakeLimits::default();
        Some(Self {
            engine: basics & 3,
            wishes,
            tls_policy: match basics >> 2 & 3 {
                1 => TlsPolicy::Opportunistic,
                2 => TlsPolicy::Required,
                _ => TlsPolicy::Off,
            },
            limits: match limit {
                0 => limits,
                limit => limits.with_replies_per_option(limit.into()).with_reply_bytes(u64::from(limit) * 64),
            },
            options,
            pace: Pace::new([first, second, third, fourth]),
            clear,
            tls: data.to_owned(),
        })
    }

    fn wishes(&self, bit: u8) -> bool {
        self.wishes & 1 << bit != 0
    }

    fn engine(&self) -> Engine {
        let (extended, structured) = (self.wishes(0), self.wishes(1));
        match self.engine {
            1 => {
                let export = if self.wishes(7) { "a" } else { "" };
                let mut settings = ConnectSettings::new(export)
                    .with_tls(self.tls_policy)
                    .with_limits(self.limits)
                    .with_extended_headers(extended)
                    .with_structured_replies(structured)
                    .with_block_sizes(self.wishes(2))
                    .with_names(self.wishes(3))
                    .with_list_contexts(self.wishes(4));
                for query in ["base:allocation", "qemu:"].into_iter().take(usize::from(self.wishes >> 5 & 3)) {
                    settings = settings.with_meta_context(query);
                }
                Engine::Connect(Connect::new(settings))
            }
            2 => {
                let settings = ListSettings::default()
                    .with_tls(self.tls_policy)
                    .with_limits(self.limits)
                    .with_extended_headers(extended)
                    .with_structured_replies(structured)
                    .with_details(self.wishes(2));
                Engine::List(List::new(settings))
            }
            _ => {
                let settings = HandshakeSettings::default().with_tls(self.tls_policy).with_limits(self.limits);
                Engine::Single(ClientHandshake::new(settings))
            }
        }
    }
}

fn option(number: u8) -> OptionRequest<'static> {
    let info = |export| InfoRequest { export, requests: smallvec![InfoType::BLOCK_SIZE, InfoType(0x77)] };
    let contexts = |queries| MetaContextRequest { export: "a", queries };
    match number % 14 {
        0 => OptionRequest::Go(info("a")),
        1 => OptionRequest::ExportName("a"),
        2 => OptionRequest::Abort,
        3 => OptionRequest::List,
        4 => OptionRequest::StartTls,
        5 => OptionRequest::Info(info("a")),
        6 => OptionRequest::StructuredReply,
        7 => OptionRequest::ListMetaContext(contexts(vec![])),
        8 => OptionRequest::SetMetaContext(contexts(vec!["base:allocation"])),
        9 => OptionRequest::SetMetaContext(contexts(vec!["base:allocation", "qemu:"])),
        10 => OptionRequest::ExtendedHeaders,
        11 => OptionRequest::Unknown { option: OptionCode(0x77), payload: b"payload" },
        12 => OptionRequest::Info(info("")),
        _ => OptionRequest::Go(info("")),
    }
}

enum Engine {
    Single(ClientHandshake),
    Connect(Connect),
    List(List),
}

impl Engine {
    fn input(&mut self, input: &[u8], out: &mut Vec<u8>, events: &mut Vec<String>) -> Result<(usize, bool), Error> {
        match self {
            Self::Single(engine) => {
                let advance = engine.input(input, out)?;
                if let Some(event) = &advance.event {
                    events.push(format!("{event:?}"));
                    if let HandshakeEvent::Done { outcome: Err(refusal), .. } = event {
                        events.push(format!("{refusal}"));
                    }
                }
                Ok((advance.consumed, advance.event.is_some()))
            }
            Self::Connect(engine) => Ok((engine.input(input, out)?, false)),
            Self::List(engine) => Ok((engine.input(input, out)?, false)),
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Single(engine) => engine.status(),
            Self::Connect(engine) => engine.status(),
            Self::List(engine) => engine.status(),
        }
    }

    fn tls_established(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Single(engine) => {
                let switched = engine.tls_established();
                assert!(switched.is_ok());
                Ok(())
            }
            Self::Connect(engine) => engine.tls_established(out),
            Self::List(engine) => engine.tls_established(out),
        }
    }

    fn eof(&mut self) -> Error {
        match self {
            Self::Single(engine) => engine.eof(),
            Self::Connect(engine) => engine.eof(),
            Self::List(engine) => engine.eof(),
        }
    }

    /// The result, as text. A list has no more exports than it had replies.
    fn finish(self, limits: HandshakeLimits) -> Result<String, Error> {
        match self {
            Self::Single(engine) => engine.finish().map(|negotiated| format!("{negotiated:?}")),
            Self::Connect(engine) => engine.finish().map(|negotiated| format!("{negotiated:?}")),
            Self::List(engine) => engine.finish().map(|listing| {
                assert!(listing.exports.len() as u64 <= limits.replies_per_option.into(), "too many exports");
                format!("{listing:?}")
            }),
        }
    }
}

struct Run<'a> {
    engine: Option<Engine>,
    case: &'a Case,
    options: core::slice::Iter<'a, u8>,
    events: Vec<String>,
    /// How many replies the option under way has had.
    replies: u32,
    out: Vec<u8>,
    over: Option<Error>,
    result: Option<Result<String, Error>>,
    in_tls: bool,
    find_and_patch: bool,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case) -> Self {
        Self {
            engine: Some(case.engine()),
            case,
            options: case.options.iter(),
            events: Vec::new(),
            replies: 0,
            out: Vec::new(),
            over: None,
            result: None,
            in_tls: false,
            find_and_patch: false,
        }
    }

    /// Hands a stream in, whole or in pieces, and gives it back as it was patched.
    fn feed(&mut self, mut stream: Vec<u8>, pace: Option<Pace>) -> Vec<u8> {
        let (mut start, mut end) = (0, 0);
        let mut pace = pace;
        loop {
            match &mut pace {
                None => end = stream.len(),
                Some(pace) => end += pace.next().0.min(stream.len() - end),
            }
            start += self.drain(&mut stream, start, end);
            if pace.as_mut().is_some_and(|pace| pace.next().1) {
                // A call without input is legal at any time, and changes nothing.
                let nothing = self.drain(&mut [], 0, 0);
                assert_eq!(nothing, 0);
            }
            if end == stream.len() {
                return stream;
            }
        }
    }

    /// Takes what lies between `start` and `end` until nothing comes of it.
    fn drain(&mut self, stream: &mut [u8], start: usize, end: usize) -> usize {
        let Some(engine) = &mut self.engine else { return 0 };
        check_refused(engine, self.case.options.first(), &mut self.out);
        let mut at = start;
        loop {
            if engine.status() == Status::Choose {
                let Some(number) = self.options.next() else { break };
                self.replies = 0;
                if let Engine::Single(engine) = engine {
                    let before = self.out.len();
                    if let Err(refused) = engine.choose(&option(*number), &mut self.out) {
                        assert_eq!(self.out.len(), before, "a refused option was sent");
                        self.events.push(format!("{refused:?}"));
                        continue;
                    }
                }
            }
            if self.find_and_patch {
                patch_option(&mut stream[at..end], &self.out);
            }
            let before = engine.status();
            match engine.input(&stream[at..end], &mut self.out, &mut self.events) {
                Ok((consumed, event)) => {
                    at += consumed;
                    assert!(at <= end, "more was consumed than was there");
                    assert!(consumed == 0 || before == Status::NeedInput, "{consumed} bytes consumed while {before:?}");
                    if let Some(text) = self.events.last().filter(|text| event && text.starts_with("Reply")) {
                        self.replies += 1;
                        assert!(self.replies <= self.case.limits.replies_per_option, "too many replies: {text}");
                    }
                    if consumed == 0 && !event && engine.status() == before {
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
        let stuck = self.over.is_none() && engine.status() == Status::NeedInput && end - at >= MIN_INPUT_BUFFER;
        assert!(!stuck, "a full buffer is left untouched");
        at - start
    }

    /// The driver's part, where the stream in clear ends.
    fn switch(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        if engine.status() == Status::SwitchToTls {
            check_refused(engine, self.case.options.first(), &mut self.out);
            check_clear(self.case.tls_policy, &self.out);
            self.in_tls = true;
            if let Err(error) = engine.tls_established(&mut self.out) {
                self.over = Some(error);
            }
        }
    }

    fn finish(&mut self) {
        if !self.in_tls {
            check_clear(self.case.tls_policy, &self.out);
        }
        let Some(mut engine) = self.engine.take() else { return };
        let status = engine.status();
        if self.over.is_some() || status != Status::Ready && status != Status::Closed {
            let error = engine.eof();
            assert!(self.over.as_ref().is_none_or(|first| *first == error), "another error than before");
            assert_eq!(engine.eof(), error);
            self.over = Some(error);
        }
        let is_list = matches!(engine, Engine::List(_));
        let result = engine.finish(self.case.limits);
        if self.over.is_none() {
            let wanted = if is_list { Status::Closed } else { Status::Ready };
            assert_eq!(result.is_ok(), status == wanted, "a result at the wrong time: {status:?}");
        }
        self.result = Some(result);
    }
}

/// No option can be chosen while something else is awaited.
fn check_refused(engine: &mut Engine, number: Option<&u8>, out: &mut Vec<u8>) {
    let (Engine::Single(engine), Some(number)) = (engine, number) else { return };
    let (status, before) = (engine.status(), out.len());
    if status != Status::Choose {
        assert!(engine.choose(&option(*number), out).is_err(), "an option was taken while {status:?}");
        assert_eq!((engine.status(), out.len()), (status, before), "a refused option has changed something");
    }
}

fn check_clear(policy: TlsPolicy, out: &[u8]) {
    if policy == TlsPolicy::Required {
        let harmless = |option| option == OptionCode::STARTTLS || option == OptionCode::ABORT;
        assert!(requests(out).all(harmless), "an option went out in clear although TLS is required");
        let length = |count| if out.is_empty() { 0 } else { 4 + count * OptionHeader::LENGTH };
        assert_eq!(out.len(), length(requests(out).count()), "something else went out in clear");
    }
}
