//! The flow that asks a server what it has (F2, F3).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use smallvec::smallvec;

use super::client::{ClientHandshake, HandshakeEvent, HandshakeSettings, local};
use super::context_names::ContextNames;
use super::preamble::{Preamble, requires_tls};
use super::{ExportInfo, Flow, HandshakeStyle, ReplyStyle, Status, TlsPolicy};
use crate::error::{Error, Refusal, Unavailable};
use crate::limits::HandshakeLimits;
use crate::observe::Observer;
use crate::text::lossy;
use crate::wire::flags::CommandFlags;
use crate::wire::number::{CommandType, Cookie, InfoType, ReplyType};
use crate::wire::option::{InfoRequest, OptionRequest};
use crate::wire::option_reply::OptionReply;
use crate::wire::request::CompactRequest;

/// What a [`List`] is to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListSettings {
    /// Whether TLS is used. Default: off.
    pub tls: TlsPolicy,
    /// Whether extended headers are asked for. Default: yes.
    pub extended_headers: bool,
    /// Whether structured replies are asked for, where extended headers are not had; metadata contexts can
    /// only be listed with one of them. Default: yes.
    pub structured_replies: bool,
    /// Whether each export is asked for its size, flags, block sizes and contexts. Default: yes.
    pub details: bool,
    /// Bounds on what the server may send.
    pub limits: HandshakeLimits,
}

impl Default for ListSettings {
    fn default() -> Self {
        Self {
            tls: TlsPolicy::Off,
            extended_headers: true,
            structured_replies: true,
            details: true,
            limits: HandshakeLimits::default(),
        }
    }
}

impl ListSettings {
    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub const fn with_tls(mut self, tls: TlsPolicy) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`extended_headers`](Self::extended_headers).
    #[must_use]
    pub const fn with_extended_headers(mut self, ask: bool) -> Self {
        self.extended_headers = ask;
        self
    }

    /// Sets [`structured_replies`](Self::structured_replies).
    #[must_use]
    pub const fn with_structured_replies(mut self, ask: bool) -> Self {
        self.structured_replies = ask;
        self
    }

    /// Sets [`details`](Self::details).
    #[must_use]
    pub const fn with_details(mut self, ask: bool) -> Self {
        self.details = ask;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(mut self, limits: HandshakeLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// What a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// How the server opened the connection.
    pub handshake_style: HandshakeStyle,
    /// The reply style that could be agreed.
    pub reply_style: ReplyStyle,
    /// Whether the connection was inside TLS.
    pub tls: bool,
    /// Its exports, in its order. Empty also where the server does not know the option (O1).
    pub exports: Vec<ListedExport>,
}

/// One export of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedExport {
    /// Its name.
    pub name: String,
    /// Text for people that came with the name, not escaped; may be empty.
    pub description: String,
    /// Its details, or why the server refused them. `None` where it was not asked, or knows no `INFO`.
    pub info: Option<Result<ExportInfo, Refusal>>,
    /// Names of its metadata contexts.
    pub contexts: Vec<String>,
}

/// Asks a server for its exports, then for the details of each, and says goodbye. The transmission phase is
/// never entered.
///
/// ```text
///   fixed newstyle                             newstyle            oldstyle
///        │                                         │                   │
///   STARTTLS, EXTENDED_HEADERS or STRUCTURED_REPLY │                   │
///        │                                         ▼                   ▼
///       LIST                            fails: cannot be asked   one nameless export,
///        │                                                       CMD_DISC
///   for each: INFO, LIST_META_CONTEXT                                  │
///        │                                                             │
///      ABORT ──▶ Closed                                  Closed ◀──────┘
/// ```
#[derive(Debug)]
pub struct List {
    handshake: ClientHandshake,
    settings: ListSettings,
    preamble: Preamble,
    step: Step,
    exports: Vec<ListedExport>,
    contexts: ContextNames,
    info_known: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preamble,
    List,
    Info(usize),
    Contexts(usize),
    Goodbye,
}

impl List {
    /// A flow that has not seen a byte yet.
    pub fn new(settings: ListSettings) -> Self {
        let basics = HandshakeSettings::default().with_tls(settings.tls).with_limits(settings.limits);
        Self {
            handshake: ClientHandshake::new(basics),
            preamble: Preamble::new(settings.tls, settings.extended_headers, settings.structured_replies),
            info_known: settings.details,
            settings,
            step: Step::Preamble,
            exports: Vec::new(),
            contexts: ContextNames::default(),
            finished: false,
        }
    }

    /// Shows every step to `observer` from now on.
    pub fn set_observer(&mut self, observer: Option<Box<dyn Observer>>) {
        self.handshake.set_observer(observer);
    }

    fn handle(&mut self, event: HandshakeEvent<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match event {
            HandshakeEvent::Opened(HandshakeStyle::Oldstyle) => {
                self.only_export(out);
                return Ok(());
            }
            HandshakeEvent::Opened(HandshakeStyle::Newstyle) => return Err(Unavailable::CannotList.into()),
            HandshakeEvent::Opened(HandshakeStyle::FixedNewstyle) => {}
            HandshakeEvent::Reply(OptionReply::Server { name, description }) => self.exports.push(ListedExport {
                name: name.to_owned(),
                description: lossy(description),
                info: None,
                contexts: Vec::new(),
            }),
            HandshakeEvent::Reply(OptionReply::MetaContext { name, .. }) => self.contexts.push(name),
            HandshakeEvent::Reply(_) => {}
            HandshakeEvent::Done { outcome, .. } => self.done(outcome)?,
        }
        self.proceed(out)
    }

    /// An oldstyle server has told all by its greeting, and is in the transmission phase (F3).
    fn only_export(&mut self, out: &mut Vec<u8>) {
        let info = self.handshake.export_info().map(Ok);
        self.exports.push(ListedExport { name: String::new(), description: String::new(), info, contexts: Vec::new() });
        let disconnect = CompactRequest {
            flags: CommandFlags::empty(),
            command: CommandType::DISC,
            cookie: Cookie(0),
            offset: 0,
            length: 0,
        };
        disconnect.emit(out);
        self.finished = true;
    }

    fn done(&mut self, outcome: Result<(), Refusal>) -> Result<(), Error> {
        match self.step {
            Step::Preamble => return outcome.or_else(|refusal| self.preamble.refused(&refusal)),
            Step::List => {
                self.step = if self.settings.details { Step::Info(0) } else { Step::Goodbye };
                match outcome {
                    Err(refusal) if refusal.reply == ReplyType::ERR_UNSUP => self.exports.clear(),
                    Err(refusal) => {
                        requires_tls(&refusal)?;
                        return Err(Unavailable::Refused(refusal).into());
                    }
                    Ok(()) => {}
                }
            }
            Step::Info(at) => {
                let info = match outcome {
                    Ok(()) => self.handshake.export_info().map(Ok),
                    Err(refusal) if refusal.reply == ReplyType::ERR_UNSUP => {
                        self.info_known = false;
                        None
                    }
                    Err(refusal) => Some(Err(refusal)),
                };
                if let Some(export) = self.exports.get_mut(at) {
                    export.info = info;
                }
                self.step = Step::Contexts(at);
            }
            Step::Contexts(at) => {
                if !self.contexts.round_done(&outcome) {
                    let names = core::mem::take(&mut self.contexts).into_names();
                    if let Some(export) = self.exports.get_mut(at) {
                        export.contexts = names;
                    }
                    self.step = Step::Info(at + 1);
                }
                return outcome.or_else(|refusal| requires_tls(&refusal));
            }
            Step::Goodbye => {}
        }
        Ok(())
    }

    fn proceed(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.handshake.status() != Status::Choose {
            return Ok(());
        }
        loop {
            let request = match self.step {
                Step::Preamble => match self.preamble.next(&self.handshake) {
                    Some(request) => request,
                    None => {
                        self.step = Step::List;
                        continue;
                    }
                },
                Step::List => OptionRequest::List,
                Step::Info(at) => match self.exports.get(at).map(|export| &export.name[..]) {
                    Some(export) if self.info_known => OptionRequest::Info(InfoRequest {
                        export,
                        requests: smallvec![InfoType::NAME, InfoType::DESCRIPTION, InfoType::BLOCK_SIZE],
                    }),
                    _ => {
                        self.step = Step::Goodbye;
                        continue;
                    }
                },
                Step::Contexts(at) => match self.exports.get(at).map(|export| &export.name[..]) {
                    // An export whose details were refused has no contexts to tell, and contexts go with chunks.
                    Some(export) if self.may_have_contexts(at) => self.contexts.request(export),
                    _ => {
                        self.step = Step::Info(at + 1);
                        continue;
                    }
                },
                Step::Goodbye => {
                    self.finished = true;
                    OptionRequest::Abort
                }
            };
            return self.handshake.choose(&request, out).map_err(|refused| local(&refused));
        }
    }

    fn may_have_contexts(&self, at: usize) -> bool {
        let told = self.exports.get(at).is_some_and(|export| matches!(export.info, Some(Ok(_))));
        told && self.handshake.reply_style() != ReplyStyle::Simple
    }
}

impl Flow for List {
    type Output = Listing;

    fn input(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let advance = self.handshake.input(input, out)?;
        if let Some(event) = advance.event {
            if let Err(error) = self.handle(event, out) {
                return Err(self.handshake.leave(error, out));
            }
        }
        Ok(advance.consumed)
    }

    fn eof(&mut self) -> Error {
        self.handshake.eof()
    }

    fn give_up(&mut self, reason: &str) -> Error {
        self.handshake.give_up(reason)
    }

    fn tls_established(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.handshake.switched_to_tls()?;
        self.proceed(out).map_err(|error| self.handshake.leave(error, out))
    }

    fn status(&self) -> Status {
        if self.finished { Status::Closed } else { self.handshake.status() }
    }

    fn finish(self) -> Result<Listing, Error> {
        if !self.finished {
            let mut handshake = self.handshake;
            return Err(handshake.give_up("the list is not finished"));
        }
        Ok(Listing {
            handshake_style: self.handshake.style(),
            reply_style: self.handshake.reply_style(),
            tls: self.handshake.is_tls(),
            exports: self.exports,
        })
    }
}
