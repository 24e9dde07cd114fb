//! The engine under a caller who chooses each option.

use nbd_proto::error::{Error, Refusal, Refused};
use nbd_proto::handshake::{
    ClientHandshake, HandshakeEvent, HandshakeSettings, HandshakeStyle, Negotiated, Status, TlsPolicy,
};
use nbd_proto::limits::MIN_INPUT_BUFFER;
use nbd_proto::wire::number::{InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option::{InfoRequest, MetaContextRequest, OptionRequest};

use super::bytes;

/// What one feeding brings.
type Events<'a> = Vec<HandshakeEvent<'a>>;

/// A [`ClientHandshake`] and what is asserted at every step.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) handshake: ClientHandshake,
}

impl Engine {
    /// One that has seen the greeting of a fixed newstyle server.
    pub(crate) fn fixed(tls: TlsPolicy) -> Self {
        let mut engine = Self::new(HandshakeSettings::default().with_tls(tls));
        let hello = bytes::greeting(3);
        let (events, sent) = engine.feed(&hello).unwrap();
        assert_eq!(events, [HandshakeEvent::Opened(HandshakeStyle::FixedNewstyle)]);
        assert_eq!(sent, bytes::client_flags(3));
        assert_eq!(engine.status(), Status::Choose);
        engine
    }

    /// One that has seen nothing.
    pub(crate) fn new(settings: HandshakeSettings) -> Self {
        Self { handshake: ClientHandshake::new(settings) }
    }

    pub(crate) fn status(&self) -> Status {
        self.handshake.status()
    }

    /// Hands in bytes, all of which have to be consumed. Returns the events, and what was sent.
    pub(crate) fn feed<'a>(&mut self, bytes: &'a [u8]) -> Result<(Events<'a>, Vec<u8>), (Error, Vec<u8>)> {
        let (mut from, mut events, mut out) = (0, Vec::new(), Vec::new());
        loop {
            let advance = match self.handshake.input(&bytes[from..], &mut out) {
                Ok(advance) => advance,
                Err(error) => return Err((error, out)),
            };
            if advance.consumed == 0 && advance.event.is_none() {
                let left = bytes.len() - from;
                assert!(self.status() != Status::NeedInput || left < MIN_INPUT_BUFFER, "no progress on {left} bytes");
                assert_eq!(left, 0, "bytes were left over");
                return Ok((events, out));
            }
            from += advance.consumed;
            events.extend(advance.event);
        }
    }

    /// Chooses an option that is legal now, and checks what is sent for it.
    #[track_caller]
    pub(crate) fn choose(&mut self, request: &OptionRequest<'_>, expected: &[u8]) {
        let mut out = Vec::new();
        self.handshake.choose(request, &mut out).unwrap();
        assert_eq!(out, expected);
    }

    /// Chooses an option, and has the server acknowledge it.
    #[track_caller]
    pub(crate) fn agree(&mut self, request: &OptionRequest<'_>) {
        let option = request.option();
        self.handshake.choose(request, &mut Vec::new()).unwrap();
        assert_eq!(self.answers(&bytes::ack(option.0)), [done(option.0)]);
    }

    /// The events of an answer after which nothing is sent.
    #[track_caller]
    pub(crate) fn answers<'a>(&mut self, bytes: &'a [u8]) -> Vec<HandshakeEvent<'a>> {
        let (events, sent) = self.feed(bytes).unwrap();
        assert_eq!(sent, b"");
        events
    }

    /// The error of an answer that the engine cannot live with, after which nothing is sent.
    #[track_caller]
    pub(crate) fn fails(&mut self, bytes: &[u8]) -> Error {
        let (error, sent) = self.feed(bytes).unwrap_err();
        assert_eq!(sent, b"");
        assert_eq!(self.handshake.input(b"", &mut Vec::new()), Err(error.clone()));
        assert_eq!(self.handshake.eof(), error);
        assert_eq!(self.handshake.give_up("too late"), error);
        error
    }

    /// Chooses an option that is not legal now: nothing is sent, and nothing has changed.
    #[track_caller]
    pub(crate) fn refuses(&mut self, request: &OptionRequest<'_>) -> Refused {
        let before = format!("{:?}", self.handshake);
        let mut out = b"kept".to_vec();
        let refused = self.handshake.choose(request, &mut out).unwrap_err();
        assert_eq!(out, b"kept");
        assert_eq!(format!("{:?}", self.handshake), before);
        refused
    }

    /// Switches to TLS.
    #[track_caller]
    pub(crate) fn start_tls(&mut self) {
        self.choose(&OptionRequest::StartTls, &bytes::option(bytes::STARTTLS, b""));
        assert_eq!(self.answers(&bytes::ack(bytes::STARTTLS)), [], "the status tells it");
        assert_eq!(self.status(), Status::SwitchToTls);
        self.handshake.tls_established().unwrap();
        assert_eq!(self.status(), Status::Choose);
    }

    /// Enters the transmission phase with `GO`.
    #[track_caller]
    pub(crate) fn go(mut self, export: &str) -> Negotiated {
        self.choose(&go(export, &[]), &bytes::ask_info(bytes::GO, export, &[]));
        self.feed(&[bytes::info_export(bytes::GO, 4096, 1), bytes::ack(bytes::GO)].concat()).unwrap();
        assert_eq!(self.status(), Status::Ready);
        self.handshake.finish().unwrap()
    }
}

/// The event of an option that succeeded.
pub(crate) fn done(option: u32) -> HandshakeEvent<'static> {
    HandshakeEvent::Done { option: OptionCode(option), outcome: Ok(()) }
}

/// The event of an option that was refused.
pub(crate) fn failed(option: u32, kind: u32, message: &str) -> HandshakeEvent<'static> {
    HandshakeEvent::Done { option: OptionCode(option), outcome: Err(refusal(option, kind, message)) }
}

/// A refusal.
pub(crate) fn refusal(option: u32, kind: u32, message: &str) -> Refusal {
    Refusal { option: OptionCode(option), reply: ReplyType(kind), message: message.to_owned() }
}

/// `GO`
pub(crate) fn go<'a>(export: &'a str, infos: &[InfoType]) -> OptionRequest<'a> {
    OptionRequest::Go(InfoRequest { export, requests: infos.iter().copied().collect() })
}

/// `INFO`
pub(crate) fn ask<'a>(export: &'a str, infos: &[InfoType]) -> OptionRequest<'a> {
    OptionRequest::Info(InfoRequest { export, requests: infos.iter().copied().collect() })
}

/// `SET_META_CONTEXT`
pub(crate) fn set<'a>(export: &'a str, queries: &[&'a str]) -> OptionRequest<'a> {
    OptionRequest::SetMetaContext(MetaContextRequest { export, queries: queries.to_vec() })
}

/// `LIST_META_CONTEXT`
pub(crate) fn list_contexts<'a>(export: &'a str, queries: &[&'a str]) -> OptionRequest<'a> {
    OptionRequest::ListMetaContext(MetaContextRequest { export, queries: queries.to_vec() })
}
