//! A server whose client and whose caller are both played by the test.

use nbd_proto::error::{Error, Refused};
use nbd_proto::handshake::{
    Negotiated, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings, ServerStatus,
};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::number::{OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};

use super::bytes;

/// An event, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    List,
    LookUp { option: OptionCode, name: String, asks_block_sizes: bool },
}

impl From<ServerHandshakeEvent<'_>> for Event {
    fn from(event: ServerHandshakeEvent<'_>) -> Self {
        match event {
            ServerHandshakeEvent::List => Self::List,
            ServerHandshakeEvent::LookUp(it) => {
                Self::LookUp { option: it.option, name: it.name.to_owned(), asks_block_sizes: it.asks_block_sizes }
            }
        }
    }
}

/// A look-up of a client that asks for no block sizes.
pub(crate) fn look_up(option: OptionCode, name: &str) -> Event {
    Event::LookUp { option, name: name.to_owned(), asks_block_sizes: false }
}

/// An export of 4096 bytes that can only be read.
pub(crate) fn plain() -> Offer {
    Offer::new(4096, TransmissionFlags::READ_ONLY)
}

/// A server, what has come for it and was not consumed, and what it has to say.
pub(crate) struct Session {
    pub(crate) server: ServerHandshake,
    pub(crate) unread: Vec<u8>,
    out: Vec<u8>,
}

impl Session {
    /// A server that has nothing but its greeting out.
    pub(crate) fn new(settings: ServerHandshakeSettings) -> Self {
        let mut out = Vec::new();
        Self { server: ServerHandshake::new(settings, &mut out), unread: Vec::new(), out }
    }

    /// A server of any style but oldstyle that awaits an option. The client has set these flags.
    pub(crate) fn greeted(settings: ServerHandshakeSettings, flags: u32) -> Self {
        let mut session = Self::new(settings);
        assert_eq!(session.sent().len(), 18, "a newstyle greeting");
        assert_eq!(session.send(&bytes::client_flags(flags)), None);
        session
    }

    /// A server as it is by default, and a client that agrees to what it offers.
    pub(crate) fn fixed() -> Self {
        Self::greeted(ServerHandshakeSettings::default(), 3)
    }

    /// As [`fixed`](Self::fixed), with structured replies agreed.
    pub(crate) fn structured() -> Self {
        let mut session = Self::fixed();
        session.acknowledged(&OptionRequest::StructuredReply);
        session
    }

    /// As [`fixed`](Self::fixed), with extended headers agreed.
    pub(crate) fn extended() -> Self {
        let mut session = Self::fixed();
        session.acknowledged(&OptionRequest::ExtendedHeaders);
        session
    }

    /// Bytes come, and the server takes what it can, up to the first event.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<Option<Event>, Error> {
        self.unread.extend_from_slice(bytes);
        loop {
            let advance = self.server.input(&self.unread, &mut self.out)?;
            let (consumed, event) = (advance.consumed, advance.event.map(Event::from));
            self.unread.drain(..consumed);
            if event.is_some() || consumed == 0 {
                return Ok(event);
            }
        }
    }

    /// As [`try_send`](Self::try_send), where no error is due.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Option<Event> {
        self.try_send(bytes).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An option comes that the caller has to answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &OptionRequest<'_>) -> Event {
        let event = self.send(&bytes::option(request)).unwrap_or_else(|| panic!("no event of {request:?}"));
        assert_eq!(self.server.status(), ServerStatus::NeedAnswer);
        assert_eq!(self.unread, b"");
        event
    }

    /// An option comes that is answered at once. Returns the answer.
    #[track_caller]
    pub(crate) fn answered(&mut self, option: &[u8]) -> Vec<u8> {
        assert_eq!(self.send(option), None);
        assert_eq!(self.unread, b"");
        assert_eq!(self.server.status(), ServerStatus::NeedInput);
        self.sent()
    }

    /// An option comes that is acknowledged at once.
    #[track_caller]
    pub(crate) fn acknowledged(&mut self, request: &OptionRequest<'_>) {
        assert_eq!(self.answered(&bytes::option(request)), bytes::ack(request.option()));
    }

    /// An option comes that is refused at once. Returns the kind of error; there are words with it.
    #[track_caller]
    pub(crate) fn refused(&mut self, option: &[u8]) -> ReplyType {
        let answer = self.answered(option);
        let (header, prefix) = OptionReplyHeader::parse(&answer).unwrap().unwrap();
        assert_eq!(option[8..12], header.option.0.to_be_bytes(), "the option that is answered");
        assert_eq!(answer.len(), prefix + header.length as usize, "one answer");
        match OptionReply::parse(header.reply, &answer[prefix..]).unwrap() {
            OptionReply::Error { reply, message } => {
                assert!(!core::str::from_utf8(message).unwrap().is_empty(), "an error without words");
                reply
            }
            other => panic!("{other:?}"),
        }
    }

    /// An option about an export comes, and this is it. Returns the answer.
    #[track_caller]
    pub(crate) fn offered(&mut self, request: &OptionRequest<'_>, offer: &Offer) -> Vec<u8> {
        self.ask(request);
        self.offer(offer).unwrap();
        self.sent()
    }

    pub(crate) fn offer(&mut self, offer: &Offer) -> Result<(), Refused> {
        self.server.offer(offer, &mut self.out)
    }

    pub(crate) fn list(&mut self, exports: &[(&str, &str)]) -> Result<(), Refused> {
        self.server.list(exports.iter().copied(), &mut self.out)
    }

    pub(crate) fn refuse(&mut self, reply: ReplyType, message: &str) -> Result<(), Refused> {
        self.server.refuse(reply, message, &mut self.out)
    }

    /// What the server has sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// What came out.
    #[track_caller]
    pub(crate) fn negotiated(self) -> Negotiated {
        assert_eq!(self.server.status(), ServerStatus::Ready);
        self.server.finish().unwrap().negotiated().clone()
    }

    /// The session is over with this error, now and for ever, and nothing more is sent.
    #[track_caller]
    pub(crate) fn ends_with(mut self, error: impl Into<Error>) {
        let (error, sent) = (error.into(), self.out.clone());
        assert_eq!(self.server.status(), ServerStatus::Closed);
        assert_eq!(self.server.input(b"", &mut self.out), Err(error.clone()));
        let more = bytes::option(&OptionRequest::List);
        assert_eq!(self.server.input(&more, &mut self.out), Err(error.clone()));
        assert_eq!(self.server.eof(), error);
        assert_eq!(self.server.give_up("too late"), error);
        assert!(self.server.tls_established().is_err() && self.offer(&plain()).is_err());
        assert!(self.list(&[]).is_err() && self.refuse(ReplyType::ERR_UNKNOWN, "").is_err());
        self.server.begin_shutdown();
        assert_eq!(self.server.input(b"", &mut self.out), Err(error.clone()));
        assert_eq!(self.out, sent, "something was sent after the error");
        assert_eq!(self.server.finish().unwrap_err(), error);
    }

    /// These bytes end the session with this error.
    #[track_caller]
    pub(crate) fn fails(mut self, bytes: &[u8], error: impl Into<Error>) {
        let error = error.into();
        assert_eq!(self.try_send(bytes), Err(error.clone()));
        self.ends_with(error);
    }
}
